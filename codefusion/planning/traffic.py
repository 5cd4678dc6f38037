"""Bytes of HBM that a run of a program moves, loops included, from its text.

Every operation of the program, of its loops and branches counts the arrays that it
takes and gives, as large as their tiles make them, less those in the chip's own
memory. Two things are finer: of an array that an operation only slices the slices
count, and of one that it updates in place the update, read and written. This is what
`pallas_kernels.hbm` does for programs without loops.
"""

import re

from codefusion.planning import collectives, hlo

# They move nothing, or belong to an operation that is counted.
_FREE = {
    "parameter",
    "bitcast",
    "tuple",
    "get-tuple-element",
    "constant",
    "after-all",
    "partition-id",
    "opt-barrier",
    *hlo.BODIES,
}
_SLICES = ("dynamic-slice", "slice", "gather")
_WORKSPACE = re.compile(r"s8\[\d+\]\{0\}")
_UPDATE = "dynamic-update-slice"


def hbm_bytes(program):
    """Returns the bytes of HBM that a run of a `hlo.Program` moves, float."""
    return sum(
        runs * sum(_moved(program, body, x) for x in body.values())
        for body, runs in program.bodies()
    )


def _moved(program, body, instruction):
    """Returns the bytes that an instruction of a body reads and writes."""
    operation = instruction.operation
    if operation in _FREE or operation.endswith("-done"):
        return 0
    shapes = [body[x].shape for x in instruction.operands if x in body]
    if operation in _SLICES:
        return 2 * _size(instruction.shape)
    if operation == _UPDATE:
        return 2 * _size(shapes[1])
    if operation == "fusion":
        inside = program.computations[instruction.called()[0]]
        return _read(inside, shapes) + _written(inside)
    if not shapes and operation == "custom-call":
        return 0  # a buffer that others fill
    if operation == "slice-start":
        return _sliced(instruction.shape, shapes[0])
    is_started = operation.endswith("-start") and instruction.shape.startswith("(")
    if operation == "custom-call":  # less the workspace of a library's matmul
        return _size(_WORKSPACE.sub("", instruction.shape)) + sum(map(_size, shapes))
    if is_started:  # gives what it takes as well
        return _size(instruction.shape)
    return _size(instruction.shape) + sum(map(_size, shapes))


def _sliced(shape, whole):
    """Returns the bytes of a slice that is copied: read in HBM, written in HBM."""
    part = hlo.array_bytes(shape) - hlo.array_bytes(whole)
    return (part if _size(whole) else 0) + _size(shape) - _size(whole)


def _read(inside, shapes):
    """Returns the bytes that a fusion reads of its operands."""
    parameters = {
        int(re.match(r"\d+", x.attributes).group()): x.name
        for x in inside.values()
        if x.operation == "parameter"
    }
    return sum(
        _read_of(inside, parameters[place], shape) for place, shape in enumerate(shapes)
    )


def _read_of(inside, name, shape):
    """Returns the bytes that a fusion reads of one operand, 0 if it is in VMEM."""
    if not _size(shape):
        return 0
    names, total = {name}, 0
    for x in inside.values():
        taken = names & set(x.operands)
        if x.operation == "bitcast" and taken:
            names.add(x.name)
        elif x.operation in _SLICES and x.operands[0] in names:
            total += _size(x.shape)
        elif x.operation == _UPDATE and x.operands[0] in names:
            total += 0  # in place
        elif taken and not _passes(x):
            return _size(shape)
    return min(total, _size(shape))


def _written(inside):
    """Returns the bytes that a fusion writes of what it computes itself."""
    root = next(x for x in inside.values() if x.is_root)
    given = [inside[x] for x in root.operands] if root.operation == "tuple" else [root]
    return sum(_written_of(inside, x) for x in given)


def _written_of(inside, given):
    if not _size(given.shape):
        return 0
    source = given
    while source.operation == "bitcast":
        source = inside[source.operands[0]]
    if source.operation == "parameter" or _passes(source):
        return 0
    if source.operation == _UPDATE:
        return _size(inside[source.operands[1]].shape)
    return _size(given.shape)


def _passes(instruction):
    """Returns whether an operation of a fusion hands buffers of a collective on."""
    return instruction.operation in ("tuple", *collectives.KINDS)


def _size(shape):
    return hlo.array_bytes(shape, in_hbm=True)
