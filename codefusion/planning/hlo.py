"""The text of a compiled program: its instructions, and how often each one runs.

The compiler's own counts take a loop's body once. Here every computation has the number
of times that a step runs it: a loop's body its trips, both branches of a conditional
once each (an upper bound), what a fusion calls as often as the fusion.
"""

import dataclasses
import math
import re

_HEADER = re.compile(r"^(ENTRY )?%(\S+) \(.*\{$")
_NAME = re.compile(r"^\s+(?:ROOT )?%(\S+) = ")
_OPERATION = re.compile(r"\s*([\w-]+)\(")
_REFERENCE = re.compile(r"%([\w.-]+)")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_TILE = re.compile(r"T\(([\d,]+)\)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%([\w.-]+)"
)
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_SAME = ("copy", "bitcast")
# Whose computations are made of operations of their own.
BODIES = ("while", "conditional", "call")
_LOOP = re.compile(r"condition=%([\w.-]+), body=%([\w.-]+)")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: unique in the program.
      shape: of what it gives, as written.
      operation: "fusion", "all-gather-start", ...
      operands: names of what it takes; empty for a constant.
      attributes: what follows the operands, and a constant's value before it.
      is_root: whether it is what the computation gives.
    """

    name: str
    shape: str
    operation: str
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    def called(self):
        """Returns the names of the computations that it runs or applies, in order."""
        names = _CALLED.findall(self.attributes)
        for branches in _BRANCHES.findall(self.attributes):
            names += _REFERENCE.findall(branches)
        return names


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      entry: name of the computation that is the program.
      computations: name -> {name: `Instruction`}.
      runs: name -> how often a run of the program runs the computation.
      unknown_loops: loops without a number of trips, which are counted once.
    """

    entry: str
    computations: dict[str, dict[str, Instruction]]
    runs: dict[str, float]
    unknown_loops: int

    def bodies(self):
        """Yields (instructions, runs) of the entry, loop bodies, branches and calls."""
        for name, runs in self.runs.items():
            yield self.computations[name], runs


def parse(text):
    """Returns the `Program` of a text, `compiled.as_text()`."""
    entry, computations = _computations(text)
    runs, unknown = {}, []
    _run(computations, entry, 1.0, runs, unknown)
    return Program(entry, computations, runs, len(unknown))


def array_bytes(shape, *, in_hbm=False):
    """Returns the bytes of all arrays of a shape as written, int.

    Args:
      shape: "bf16[8,128]{1,0:T(8,128)}", or a tuple of such.
      in_hbm: count what they take in HBM: whole tiles, and nothing for what is in
        the chip's own memory.
    """
    return sum(_bytes(*found, in_hbm=in_hbm) for found in _ARRAY.findall(shape))


def _bytes(kind, dims, order, rest, *, in_hbm):
    sizes = [int(x) for x in dims.split(",") if x]
    if in_hbm and "S(" in rest:
        return 0
    if in_hbm and sizes and (tile := _TILE.search(rest)):
        minor_first = [int(x) for x in order.split(",")]
        tile_sizes = [int(x) for x in tile.group(1).split(",")]
        for axis, least in zip(minor_first, reversed(tile_sizes), strict=False):
            sizes[axis] = -(-sizes[axis] // least) * least
    return math.ceil(math.prod(sizes) * _bits(kind) / 8)


def _bits(kind):
    """Returns the bits of an element of a type as written: bf16, f8e4m3fn, pred."""
    if kind in ("token", "opaque"):
        return 0
    number = re.search(r"\d+", kind)
    return int(number.group()) if number else 8


def _computations(text):
    entry, computations, current = None, {}, None
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = computations.setdefault(header.group(2), {})
            entry = header.group(2) if header.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (found := _instruction(line)):
            current[found.name] = found
    if entry is None:
        raise ValueError("the text has no ENTRY computation; expected a compiled one.")
    return entry, computations


def _instruction(line):
    named = _NAME.match(line)
    if not named:
        return None
    start = named.end()
    end = _closing(line, start) if line[start] == "(" else line.index(" ", start)
    operation = _OPERATION.match(line, end)
    if not operation:
        return None
    close = _closing(line, operation.end() - 1)
    arguments, kind = line[operation.end() : close - 1], operation.group(1)
    is_value = kind in ("constant", "parameter")
    return Instruction(
        name=named.group(1),
        shape=line[start:end],
        operation=kind,
        operands=() if is_value else tuple(_REFERENCE.findall(arguments)),
        attributes=(arguments if is_value else "") + line[close:],
        is_root=line.lstrip().startswith("ROOT "),
    )


def _closing(line, start):
    """Returns the place after the bracket that closes the one at `start`."""
    depth = 0
    for place in range(start, len(line)):
        depth += (line[place] == "(") - (line[place] == ")")
        if depth == 0:
            return place + 1
    return len(line)


def _run(computations, name, times, runs, unknown):
    """Adds the runs of a computation and of the loops and branches inside it."""
    runs[name] = runs.get(name, 0.0) + times
    for instruction in computations[name].values():
        if loop := _LOOP.search(instruction.attributes):
            trips = _trips(computations, computations[name], instruction)
            unknown += [] if trips is not None else [instruction.name]
            _run(computations, loop.group(2), times * (trips or 1), runs, unknown)
        elif instruction.operation in BODIES:
            for called in instruction.called():
                _run(computations, called, times, runs, unknown)


def _trips(computations, caller, loop):
    """Returns how often a loop runs; None where that does not show.

    GPUs and CPUs note it. A TPU's program has a counter, which starts at a constant,
    grows by another in the body and is compared with a third.
    """
    if noted := _TRIPS.search(loop.attributes):
        return int(noted.group(1))
    condition, body = (computations[x] for x in _LOOP.search(loop.attributes).groups())
    first = caller.get(loop.operands[0])
    compared = [x for x in condition.values() if x.operation == "compare"]
    if len(compared) != 1 or first is None or first.operation != "tuple":
        return None
    counter, bound = (condition.get(name) for name in compared[0].operands)
    place = _place(counter)
    if "direction=LT" not in compared[0].attributes or place is None:
        return None
    end = _constant(condition, bound)
    start = _constant(caller, caller.get(first.operands[place]))
    step = _step(caller, first, body, place)
    if None in (start, end, step) or step < 1:
        return None
    return -(-(end - start) // step)


def _step(caller, first, body, place):
    """Returns what the body of a loop adds to a place of its tuple, or None."""
    root = next(x for x in body.values() if x.is_root)
    grown = body.get(root.operands[place]) if root.operation == "tuple" else None
    while grown is not None and grown.operation in _SAME:
        grown = body.get(grown.operands[0])
    if grown is None or grown.operation != "add":
        return None
    for name in grown.operands:
        added = body.get(name)
        if (found := _constant(body, added)) is not None:
            return found
        carried = _place(added)
        if carried not in (None, place):  # a constant that the loop hands on
            return _constant(caller, caller.get(first.operands[carried]))
    return None


def _place(instruction):
    """Returns which element of a tuple an instruction takes, or None."""
    if instruction is None or instruction.operation != "get-tuple-element":
        return None
    return int(re.search(r"index=(\d+)", instruction.attributes).group(1))


def _constant(computation, instruction):
    """Returns the integer that an instruction gives, or None."""
    while instruction is not None and instruction.operation in _SAME:
        instruction = computation.get(instruction.operands[0])
    if instruction is None or instruction.operation != "constant":
        return None
    value = re.match(r"-?\d+\b", instruction.attributes)
    return int(value.group()) if value else None
