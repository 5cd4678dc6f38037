"""What to change where a training step does not fit, found by compiling it.

The changes are made one after the other, the cheapest in time first, and kept: split
parameters and optimizer over more devices, compute activations again, take the batch
in parts. The first set of changes that fits is the answer.
"""

import dataclasses

from codefusion import assemble, sharding
from codefusion import config as configs
from codefusion.planning import compiling, programs


@dataclasses.dataclass(frozen=True)
class Remedy:
    """Changes of a config, and whether the step fits with them.

    Attributes:
      changes: {dotted key: value}.
      peak: bytes on a device; where it does not fit, what the compiler asks for, or
        None.
      fits: whether it does.
    """

    changes: dict[str, object]
    peak: int | None
    fits: bool


def find(setting, say):
    """Returns the `Remedy`s that were tried, a tuple; the last one fits if any does.

    Args:
      setting: the `programs.Setting` that does not fit.
      say: called with a line before each compilation.
    """
    tried, changes = [], {}
    for change in candidates(setting):
        changes = {**changes, **change}
        chosen = changed(setting, changes)
        hbm_bytes = setting.topology.chip.hbm_bytes
        if sharding.bytes_per_device(chosen.state) > hbm_bytes:
            continue  # the state alone does not fit; no need to compile
        say(f"compiling with {' '.join(f'{k}={v}' for k, v in changes.items())}")
        tried.append(_try(chosen, changes))
        if tried[-1].fits:
            break
    return tuple(tried)


def candidates(setting):
    """Returns the changes to make in turn, each a dict of dotted keys.

    Args:
      setting: a `programs.Setting`.
    """
    topology = setting.topology
    config, section, mesh = setting.config, setting.section, setting.mesh.shape
    found = []
    in_slice = topology.num_devices // topology.num_slices
    widest = in_slice // mesh["tensor"]
    if mesh["fsdp"] < widest:
        found.append({"sharding.data": -1, "sharding.fsdp": widest})
    if not config.model.scan_layers or not config.model.remat:
        found.append({"model.scan_layers": True, "model.remat": True})
    if config.model.remat and config.model.remat_policy != "nothing":
        found.append({"model.remat_policy": "nothing"})
    rows = section.batch_size // (topology.num_devices // mesh["tensor"])
    parts = section.microbatches
    while 2 * parts <= rows and rows % (2 * parts) == 0:
        parts *= 4 if rows % (4 * parts) == 0 else 2
        found.append({f"{setting.stage}.microbatches": parts})
    heads = config.model.num_heads
    for tensor in (2, 4, 8):
        fits_heads = heads % tensor == 0 and in_slice % tensor == 0
        if tensor > mesh["tensor"] and fits_heads:
            sizes = {"sharding.fsdp": in_slice // tensor, "sharding.tensor": tensor}
            found.append({"sharding.data": -1, **sizes})
    return found


def changed(setting, changes):
    """Returns a `programs.Setting` with some keys of its config set.

    Args:
      setting: a `programs.Setting`.
      changes: {dotted key: value}.
    """
    config = configs.from_json(configs.to_json(setting.config))
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = config
        for name in sections:
            section = section[name]
        section[last] = value
    return dataclasses.replace(setting, config=assemble.check(config))


def _try(setting, changes):
    rows = setting.section.batch_size
    try:
        compiled = compiling.compile_apart(setting, "training_step", rows)
    except programs.CompilationError as error:
        return Remedy(changes, error.needed, False)
    fits = compiled.peak <= setting.topology.chip.hbm_bytes
    return Remedy(changes, compiled.peak, fits)
