"""Bytes of HBM that a compiled program of a TPU or GPU moves, from its text.

The compiler's own count leaves kernels out and takes operands that it holds in VMEM for
reads of HBM. Here every operation of the entry computation counts the arrays that it
takes and gives, as large as their tiles make them, and those in VMEM count nothing. A
kernel that reads a block several times is counted once.
"""

import math
import re

_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%(\S+) = (.*?) ([\w-]+)\((.*?)\)(?:,|$)")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_OPERAND = re.compile(r"%([\w.-]+)")
_TILE = re.compile(r"T\(([\d,]+)\)")
_WIDTHS = {"pred": 1, "bf16": 2, "f16": 2}
# They move nothing, or belong to an operation that is counted.
_FREE = {"parameter", "bitcast", "tuple", "get-tuple-element", "constant", "after-all"}


def traffic(text):
    """Returns the bytes of a program's text, `compiled.as_text()`.

    Raises:
      ValueError: the program has a loop, a branch or a call, whose operations are not
        counted.
    """
    entry = text[text.index("\nENTRY ") :].split("\n}")[0]
    sizes, total = {}, 0
    for line in entry.splitlines():
        found = _INSTRUCTION.match(line)
        if not found:
            continue
        name, shape, operation, operands = found.groups()
        arrays = [_bytes(*array) for array in _ARRAY.findall(shape)]
        if operation in ("while", "conditional", "call"):
            raise ValueError(f"the program has a {operation}, {name}; expected none.")
        # A copy that is started gives its target, its source and a flag.
        sizes[name] = arrays[0] if operation.endswith("-start") else sum(arrays)
        if operation not in _FREE and not operation.endswith("-done"):
            read = sum(sizes.get(x, 0) for x in _OPERAND.findall(operands))
            total += sizes[name] + read
    return total


def _bytes(kind, dims, order, rest):
    """Returns what an array takes in HBM, padded to whole tiles."""
    if "S(1)" in rest or kind == "token":
        return 0
    sizes = [int(x) for x in dims.split(",") if x]
    tile = _TILE.search(rest)
    if tile and sizes:
        minor_first = [int(x) for x in order.split(",")]
        tile_sizes = [int(x) for x in tile.group(1).split(",")]
        for axis, least in zip(minor_first, reversed(tile_sizes), strict=False):
            sizes[axis] = -(-sizes[axis] // least) * least
    width = _WIDTHS.get(kind) or int(re.sub(r"\D", "", kind) or 8) // 8
    return math.prod(sizes) * max(width, 1)
