"""What a run would need on chips that need not exist: memory, FLOPs, traffic, time.

topology -> devices (`chips`), config -> compiled programs (`programs`),
text of a program -> loops, collectives, HBM traffic (`hlo`, `collectives`,
`traffic`), shapes -> FLOPs (`flops`), all of it -> a plan (`plan`, `report`).
"""
