"""The plan of a config on a topology: what each device holds, computes and sends."""

import dataclasses
import math

from codefusion import sharding, trees
from codefusion.planning import (
    collectives,
    compiling,
    fitting,
    flops,
    programs,
    remedies,
    rooflines,
)

_LENGTHS = ("source_length", "target_length")


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Collectives of one kind over one set of axes, in a run, on one device.

    Attributes:
      kind, axes: as in `collectives.Collective`.
      number: of them.
      payload, sent: bytes.
      seconds: at the speed of what they travel on.
    """

    kind: str
    axes: str
    number: float
    payload: float
    sent: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class ProgramPlan:
    """A compiled program, for one device where nothing else is said.

    Attributes:
      rows: of a batch, over all devices.
      arguments, outputs, temporaries, code, peak: bytes, as in `programs.Compiled`.
      flops: over all devices, `flops.Flops`.
      compiler_flops: the compiler's own count; None where it has none.
      hbm_traffic: bytes.
      traffic: tuple of `Traffic`.
      roofline: `rooflines.Roofline`.
      unknown_loops: loops that are counted once.
      compile_seconds: on the machine that made the plan.
    """

    rows: int
    arguments: int
    outputs: int
    temporaries: int
    code: int
    peak: int
    flops: flops.Flops
    compiler_flops: float | None
    hbm_traffic: float
    traffic: tuple[Traffic, ...]
    roofline: rooflines.Roofline
    unknown_loops: int
    compile_seconds: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that is known of a config on a topology before a chip is rented.

    Attributes:
      topology, num_devices: what it is for; chip: a `chips.Chip`.
      stage: "training" or "pretraining".
      mesh: {axis: devices}.
      settings: what decides memory and time, {key: value}.
      parameters: {part: count}.
      held: {"parameters", "average", "optimizer": bytes} on one device.
      fits: whether the training step does.
      needed: bytes that the compiler asks for where it does not fit, or None.
      step: the training step; None where it does not fit.
      sampler: the sampler, or why there is none; None where it was not asked for.
      fit: the largest batch; None where it was not asked for.
      remedies: what was tried where it does not fit, tuple of `remedies.Remedy`.
    """

    topology: str
    num_devices: int
    chip: object
    stage: str
    mesh: dict[str, int]
    settings: dict[str, object]
    parameters: dict[str, int]
    held: dict[str, int]
    fits: bool
    needed: int | None
    step: ProgramPlan | None
    sampler: ProgramPlan | str | None
    fit: fitting.Fit | None
    remedies: tuple


def make(config, topology, *, stage="training", fit=True, sampler=True, say=print):
    """Returns the `Plan` of a config on a topology.

    Args:
      config: a checked config.
      topology: a `chips.Topology`.
      stage: "training" or "pretraining".
      fit: whether to look for the largest batch, or for what to change; it compiles
        several times.
      sampler: whether to compile the sampler as well.
      say: called with a line before each compilation.
    """
    setting = programs.Setting(config, stage, topology)
    rows = setting.section.batch_size
    check_rows(setting, rows)
    say(f"compiling the training step, {rows} rows")
    step, needed = _step(setting, rows)
    is_fitting = step is not None and step.peak <= topology.chip.hbm_bytes
    needed = step.peak if step and not is_fitting else needed
    return Plan(
        topology=str(topology),
        num_devices=topology.num_devices,
        chip=topology.chip,
        stage=stage,
        mesh=dict(setting.mesh.shape),
        settings=_settings(setting),
        parameters=parameters_by_part(setting.params),
        held=_held(setting.state),
        fits=is_fitting,
        needed=needed,
        step=step,
        sampler=_sampler(setting, say) if sampler else None,
        fit=_fit(setting, rows, step, say) if fit else None,
        remedies=() if is_fitting or not fit else remedies.find(setting, say),
    )


def program_plan(setting, compiled, *, rows, counted):
    """Returns the `ProgramPlan` of a compiled program.

    Args:
      setting: the `programs.Setting` that it was compiled for.
      compiled: a `programs.Compiled`.
      rows: of its batch.
      counted: its `flops.Flops`.
    """
    topology, devices = setting.topology, setting.mesh.devices.reshape(-1)
    return ProgramPlan(
        rows=rows,
        arguments=compiled.arguments,
        outputs=compiled.outputs,
        temporaries=compiled.temporaries,
        code=compiled.code,
        peak=compiled.peak,
        flops=counted,
        compiler_flops=compiled.flops,
        hbm_traffic=compiled.hbm_bytes,
        traffic=_traffic(topology, devices, compiled.collectives),
        roofline=rooflines.roofline(
            topology,
            devices,
            compiled,
            flops=counted.hardware,
            dtype=setting.config.model.dtype,
        ),
        unknown_loops=compiled.unknown_loops,
        compile_seconds=compiled.seconds,
    )


def parameters_by_part(params):
    """Returns {part: count}: the tree's own names, tables of tokens by themselves.

    Args:
      params: tree of parameters or shapes.
    """
    found = {}
    for path, leaf in trees.named_leaves(params).items():
        names = path.split("/")
        is_table = names[-1] == "embedding"
        part = "/".join(names[:2]) if is_table else names[0]
        found[part] = found.get(part, 0) + math.prod(leaf.shape)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def check_rows(setting, rows):
    """Raises ValueError where the rows of a batch cannot be shared evenly.

    Args:
      setting: a `programs.Setting`.
      rows: int.
    """
    unit = setting.batch_unit
    if rows % unit:
        mesh = setting.mesh.shape
        raise ValueError(
            f"{setting.stage}.batch_size is {rows}; expected a multiple of {unit}, "
            f"data {mesh['data']} x fsdp {mesh['fsdp']} x microbatches "
            f"{setting.section.microbatches}."
        )


def step_plan(setting, rows):
    """Returns the `ProgramPlan` of a setting's training step.

    Args:
      setting: a `programs.Setting`.
      rows: of its batch.

    Raises:
      CompilationError: the compiler gives none.
    """
    compiled = compiling.compile_apart(setting, "training_step", rows)
    counted = flops.training(
        setting.objective, rows, setting.optimizer_choice, setting.params
    )
    return program_plan(setting, compiled, rows=rows, counted=counted)


def _step(setting, rows):
    """Returns the `ProgramPlan` of the step or None, and the bytes that it lacks."""
    try:
        return step_plan(setting, rows), None
    except programs.DoesNotFitError as error:
        return None, error.needed
    except programs.CompilationError as error:
        raise ValueError(
            f"the training step on {setting.topology} has no program: {error}."
        ) from error


def _sampler(setting, say):
    """Returns the `ProgramPlan` of the sampler, or why there is none."""
    share = setting.mesh.shape["data"] * setting.mesh.shape["fsdp"]
    rows = -(-setting.config.inference.batch_size // share) * share
    say(f"compiling the sampler, {rows} requests")
    try:
        compiled = compiling.compile_apart(setting, "sampler", rows)
    except programs.CompilationError as error:
        return str(error)
    counted = flops.sampling(programs.sampling_plan(setting), rows)
    return program_plan(setting, compiled, rows=rows, counted=counted)


def _fit(setting, rows, step, say):
    """Returns the `fitting.Fit` of a setting."""

    def peak_at(batch_size):
        if batch_size == rows and step is not None:
            return step.peak
        say(f"compiling the training step, {batch_size} rows")
        return compiling.compile_apart(setting, "training_step", batch_size).peak

    return fitting.largest_batch(
        peak_at,
        first=rows,
        unit=setting.batch_unit,
        hbm_bytes=setting.topology.chip.hbm_bytes,
        known_to_fail=() if step is not None else (rows,),
    )


def _settings(setting):
    model, section = setting.config.model, setting.section
    found = {
        f"{setting.stage}.batch_size": section.batch_size,
        f"{setting.stage}.microbatches": section.microbatches,
        f"{setting.stage}.optimizer.name": section.optimizer.name,
    }
    keys = ("width", "dtype", "scan_layers", "remat", "remat_policy", "attention")
    found |= {f"model.{key}": model[key] for key in keys}
    found |= {f"data.{k}": setting.config.data[k] for k in _LENGTHS}
    return {**found, "tokenizer.vocab_size": setting.config.tokenizer.vocab_size}


def _held(state):
    return {
        "parameters": sharding.bytes_per_device(state.params),
        "average": sharding.bytes_per_device(state.ema_params),
        "optimizer": sharding.bytes_per_device(state.opt_state),
    }


def _traffic(topology, devices, found):
    seconds = {}
    for x in found:
        _, speed = rooflines.link(topology, devices, x)
        key = x.kind, x.axes
        seconds[key] = seconds.get(key, 0.0) + x.runs * x.sent / speed
    return tuple(
        Traffic(kind, ", ".join(axes) or "none", *sums, seconds[kind, axes])
        for (kind, axes), sums in collectives.by_kind(found).items()
    )


def to_json(plan):
    """Returns a plan as a tree of plain values.

    Args:
      plan: a `Plan`.
    """
    found = dataclasses.asdict(plan)
    for name in ("step", "sampler"):
        part = getattr(plan, name)
        if isinstance(part, ProgramPlan):
            total = {"model": part.flops.model, "hardware": part.flops.hardware}
            found[name]["flops"] |= total
            seconds = {
                key: getattr(part.roofline, key) for key in ("overlapped", "serial")
            }
            found[name]["roofline"] |= seconds
    return found
