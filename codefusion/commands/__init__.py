"""The commands: a module each with `define(flag_values)` and `run(call)`."""
