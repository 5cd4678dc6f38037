"""The sensible layouts of a topology, each compiled, the fastest that fits first."""

import dataclasses
import math

from codefusion import sharding
from codefusion.planning import plan as plans
from codefusion.planning import programs, remedies


@dataclasses.dataclass(frozen=True)
class Entry:
    """A layout and its training step.

    Attributes:
      mesh: {axis: devices}.
      fits: whether the step does.
      needed: bytes on a device, where it does not and the compiler says so.
      step: its `plan.ProgramPlan`; None where it was not compiled to the end.
      reason: why it was not.
      peak_flops: of all devices, FLOP/s.
    """

    mesh: dict[str, int]
    fits: bool
    needed: int | None
    step: object
    reason: str
    peak_flops: float


def run(config, topology, *, stage="training", say=print):
    """Returns the `Entry` of every sensible layout, the best first.

    Ranked by the predicted step time with no communication hidden, those that do not
    fit last.

    Args:
      config: a checked config; its own layout is among those tried.
      topology: a `chips.Topology`.
      stage: "training" or "pretraining".
      say: called with a line before each compilation.
    """
    setting = programs.Setting(config, stage, topology)
    own = setting.mesh.shape
    shapes = layouts(config, topology, stage)
    given = (own["data"], own["fsdp"], own["tensor"])
    found = []
    for number, shape in enumerate(dict.fromkeys([given, *shapes]), 1):
        say(f"layout {number}: data {shape[0]} x fsdp {shape[1]} x tensor {shape[2]}")
        found.append(_entry(setting, shape))
    return sorted(found, key=_rank)


def layouts(config, topology, stage):
    """Returns the (data, fsdp, tensor) worth trying, a list.

    `tensor` goes up to 8 and divides heads and hidden units; `fsdp` is 1, all that is
    left of a slice, or a half of that on the scale of powers; `data` is the rest. The
    rows can be shared by data and fsdp.

    Args:
      config: a checked config.
      topology: a `chips.Topology`.
      stage: "training" or "pretraining".
    """
    model, section = config.model, config[stage]
    in_slice = topology.num_devices // topology.num_slices
    rows = section.batch_size // section.microbatches
    found = []
    for tensor in (1, 2, 4, 8):
        sides = (in_slice, model.num_heads, model.mlp_width)
        if any(side % tensor for side in sides):
            continue
        left = in_slice // tensor
        half = 2 ** (int(math.log2(left)) // 2)
        for fsdp in dict.fromkeys((left, half, 1)):
            data = topology.num_devices // tensor // fsdp
            if left % fsdp == 0 and rows % (data * fsdp) == 0:
                found.append((data, fsdp, tensor))
    return found


def _entry(setting, shape):
    sizes = zip(("data", "fsdp", "tensor"), shape, strict=True)
    setting = remedies.changed(setting, {f"sharding.{k}": n for k, n in sizes})
    chip = setting.topology.chip
    entry = Entry(
        mesh=dict(setting.mesh.shape),
        fits=False,
        needed=sharding.bytes_per_device(setting.state),
        step=None,
        reason="parameters and optimizer alone",
        peak_flops=chip.peak_flops * setting.topology.num_devices,
    )
    if entry.needed > chip.hbm_bytes:
        return entry
    try:
        step = plans.step_plan(setting, setting.section.batch_size)
    except programs.CompilationError as error:
        return dataclasses.replace(entry, needed=error.needed, reason=str(error))
    fits = step.peak <= chip.hbm_bytes
    reason = "" if fits else "more than a device has"
    return dataclasses.replace(
        entry, fits=fits, needed=step.peak, step=step, reason=reason
    )


def _rank(entry):
    if not entry.fits:
        return (1, entry.needed or math.inf)
    return (0, entry.step.roofline.serial)
