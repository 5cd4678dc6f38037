"""The collectives of a compiled program: kind, mesh axes, bytes per step and device.

`payload` is the whole array of a collective on one device: what an all-gather gives,
what the others take. `sent` is what a device puts on the wire by the ring algorithm:

    all-gather, reduce-scatter, all-to-all   (n - 1) / n payload
    all-reduce                               2 (n - 1) / n payload
    collective-permute                       payload

with n the devices of a group. Two forms hide behind fusions on a TPU and are taken for
what they are: an all-reduce of which a device keeps its part is a reduce-scatter, and
the start, the middle and the end of an overlapped collective are one. Between slices
there is no collective in the text but what a device sends to the host's network.
"""

import dataclasses
import math
import re

import numpy as np

from codefusion.planning import hlo

# Kind -> (payload, sent) of n devices that each put in one byte.
_FORMS = {
    "all-gather": lambda n: (n, n - 1),
    "all-reduce": lambda n: (1, 2 * (n - 1) / n),
    "reduce-scatter": lambda n: (1, (n - 1) / n),
    "all-to-all": lambda n: (1, (n - 1) / n),
    "ragged-all-to-all": lambda n: (1, (n - 1) / n),
    "collective-permute": lambda n: (1, 1 if n > 1 else 0),
    "collective-broadcast": lambda n: (1, 1 if n > 1 else 0),
}
KINDS = tuple(_FORMS)
_CHANNEL = re.compile(r"channel_id=(\d+)")
_TRANSFER = re.compile(r'_xla_megascale_transfer_type="(\w+)"')
_SLICES = re.compile(r'_xla_megascale_target="\{([\d:,]+)\}')
_LISTS = re.compile(r"replica_groups=\{(\{[\d,{} ]*\})?\}")
_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MESH = re.compile(r"replica_groups=(?:@?\w*)\[([^\]]*)\]([^{]*)\{([^}]*)\}")
_DEVICE_IDS = re.compile(r"device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\)")
_AXIS = re.compile(r"'([^']+)'(?::\((\d+)\)(\d+))?")
_PAIRS = re.compile(r"source_target_pairs=\{(\{[\d,{} ]*\})\}")
NETWORK = "network"


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of a program, with all its runs in a step.

    Attributes:
      kind: "all-gather", "reduce-scatter", ...
      axes: of the mesh over which its groups spread, as ("fsdp",); ("network",) of
        what goes from slice to slice.
      group: partition numbers of its first group, a tuple of int.
      runs: in a step.
      payload, sent: bytes of one run on one device, see above.
      dtype: of the first array.
    """

    kind: str
    axes: tuple[str, ...]
    group: tuple[int, ...]
    runs: float
    payload: float
    sent: float
    dtype: str


def find(program, mesh_shape):
    """Returns the `Collective`s of a `hlo.Program`, a list.

    Args:
      program: the parsed text.
      mesh_shape: {axis: size} in the order of the mesh's axes.
    """
    found = []
    for instructions, runs in program.bodies():
        in_body = {}
        for instruction in instructions.values():
            for key, collective in _of(program, instructions, instruction, mesh_shape):
                in_body.setdefault(key, dataclasses.replace(collective, runs=runs))
        found += in_body.values()
    return found


def by_kind(collectives):
    """Returns {(kind, axes): (number, payload, sent)} of a step, the most sent first.

    Args:
      collectives: from `find`.
    """
    totals = {}
    for x in collectives:
        number, payload, sent = totals.get((x.kind, x.axes), (0, 0, 0))
        totals[x.kind, x.axes] = (
            number + x.runs,
            payload + x.runs * x.payload,
            sent + x.runs * x.sent,
        )
    return dict(sorted(totals.items(), key=lambda item: -item[1][2]))


def _of(program, instructions, instruction, mesh_shape):
    """Yields (key, `Collective`) of an instruction; one key, one collective."""
    # Fusions, and calls that run beside the rest ("async-start", "call-start").
    if instruction.operation not in hlo.BODIES:
        scattered = "all-reduce-scatter" in "".join(instruction.called())
        for name in instruction.called():
            inside = program.computations.get(name, {})
            for inner in inside.values():
                for key, found in _of(program, inside, inner, mesh_shape):
                    yield key, _scattered(found) if scattered else found
    kind = instruction.operation.removesuffix("-start")
    if kind in _FORMS:
        operands = [instructions[x].shape for x in instruction.operands]
        channel = _CHANNEL.search(instruction.attributes)
        key = (kind, channel.group(1) if channel else instruction.name)
        yield key, _collective(kind, operands, instruction.attributes, mesh_shape)
    elif kind == "send" and (transfer := _TRANSFER.search(instruction.attributes)):
        shape = instructions[instruction.operands[0]].shape
        yield instruction.name, _transfer(transfer.group(1), shape, instruction)


def _collective(kind, operands, attributes, mesh_shape):
    group = _first_group(attributes, math.prod(mesh_shape.values()))
    taken = sum(map(hlo.array_bytes, operands))
    payload, sent = _FORMS[kind](len(group))
    return Collective(
        kind=kind,
        axes=_axes(group, mesh_shape),
        group=group,
        runs=1,
        payload=payload * taken,
        sent=sent * taken,
        dtype=operands[0].partition("[")[0].lstrip("("),
    )


def _scattered(found):
    """Returns an all-reduce of which each device keeps a part, as what it is."""
    if found.kind != "all-reduce":
        return found
    return dataclasses.replace(found, kind="reduce-scatter", sent=found.sent / 2)


def _transfer(name, shape, instruction):
    """Returns what a device sends to other slices through the host's network."""
    kind = name.lower().replace("_", "-")
    slices = _SLICES.search(instruction.attributes)
    taken = hlo.array_bytes(shape)
    payload, sent = _FORMS[kind](_size(slices.group(1)) if slices else 2)
    return Collective(
        kind=kind,
        axes=(NETWORK,),
        group=(),
        runs=1,
        payload=payload * taken,
        sent=sent * taken,
        dtype=shape.partition("[")[0],
    )


def _size(numbers):
    """Returns how many numbers a text such as "1,2" or "0:15" lists."""
    ends = [list(map(int, part.split(":"))) for part in numbers.split(",")]
    return sum(part[-1] - part[0] + 1 for part in ends)


def _axes(group, mesh_shape):
    """Returns the axes of the mesh along which a group's places differ."""
    places = np.array(np.unravel_index(group, tuple(mesh_shape.values())))
    differs = (places != places[:, :1]).any(axis=1)
    return tuple(name for name, x in zip(mesh_shape, differs, strict=True) if x)


def _first_group(attributes, num_devices):
    """Returns the partition numbers of a collective's first group.

    Raises:
      ValueError: they are written in a way that is not known here.
    """
    if found := _PAIRS.search(attributes):
        pairs = [_numbers(pair) for pair in found.group(1).split("}")[:-1]]
        return next((pair for pair in pairs if len(set(pair)) > 1), pairs[0][:1])
    if found := _IOTA.search(attributes):
        return _iota(*found.groups())
    if found := _MESH.search(attributes):
        return _of_mesh(*found.groups())
    if found := _LISTS.search(attributes):
        lists = found.group(1)
        return _numbers(lists.partition("}")[0]) if lists else tuple(range(num_devices))
    raise ValueError(
        f"the groups of a collective are not understood: {attributes[:200]!r}."
    )


def _iota(shape, dims, order):
    """Returns the first row of "[groups,size]<=[dims]T(order)"."""
    return tuple(_places(dims, order).reshape(_numbers(shape))[0].tolist())


def _places(dims, order):
    """Returns the numbers of "[dims]T(order)", an array."""
    dims = _numbers(dims)
    places = np.arange(math.prod(dims)).reshape(dims)
    return places.transpose(_numbers(order)) if order else places


def _of_mesh(sizes, order, axes):
    """Returns the first group of "mesh['a'=4,'b'=2] {'a'}"; an axis may be split."""
    shape = {name: int(n) for name, n in re.findall(r"'([^']+)'=(\d+)", sizes)}
    places = np.arange(math.prod(shape.values()))
    if order.strip(" ,"):
        found = _DEVICE_IDS.search(order)
        if not found:
            raise ValueError(f"the devices of a mesh are not understood: {order!r}.")
        places = _places(*found.groups())
    places = places.reshape(tuple(shape.values()))
    chosen = {name: parts for name, *parts in _AXIS.findall(axes)}
    picked = [_part(chosen.get(name), size) for name, size in shape.items()]
    return tuple(places[np.ix_(*picked)].reshape(-1).tolist())


def _part(chosen, size):
    """Returns the places along an axis that a first group has.

    Args:
      chosen: None for an axis that is not of the group; ("", "") for all of it;
        (before, width) for a part that follows an outer one of size `before`.
      size: of the axis.
    """
    if chosen is None:
        return [0]
    before, width = (int(x or 0) for x in chosen)
    if not width:
        return range(size)
    inner = size // (before * width)
    return [i * inner for i in range(width)]


def _numbers(text):
    return tuple(int(x) for x in re.findall(r"\d+", text))
