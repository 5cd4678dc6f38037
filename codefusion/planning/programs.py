"""The programs of a config on devices that need not exist: the real training step and
the real sampler, compiled, and what the compiler says of them.

A compiler that fails may take its process along, so `compiling` runs these functions
in a process of their own.
"""

import dataclasses
import functools
import re
import time

import jax
import jax.numpy as jnp

from codefusion import assemble, consistency, drawing, sharding
from codefusion import config as configs
from codefusion.planning import chips, collectives, hlo, traffic
from codefusion.training import optimizers, step
from codefusion.types import Batch

# "Used 30.11G of 15.75G hbm", "(1.00T) exceeds available HBM (15.75G)"
_USED = re.compile(r"Used ([\d.]+\w?) of ([\d.]+\w?) hbm")
_EXCEEDS = re.compile(r"\(([\d.]+\w?)\) exceeds available HBM \(([\d.]+\w?)\)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler says of a program, for one device.

    Attributes:
      arguments: bytes of what goes in.
      outputs: bytes of what comes out and does not take the place of an argument.
      temporaries: bytes in between.
      code: bytes of the program.
      flops: the compiler's own count; None where it has none.
      hbm_bytes: moved in a run, see `traffic`.
      collectives: a tuple of `collectives.Collective`.
      unknown_loops: loops that are counted once.
      seconds: that compiling took.
    """

    arguments: int
    outputs: int
    temporaries: int
    code: int
    flops: float | None
    hbm_bytes: float
    collectives: tuple[collectives.Collective, ...]
    unknown_loops: int
    seconds: float

    @property
    def peak(self):
        """Bytes that the program takes while it runs."""
        return self.arguments + self.outputs + self.temporaries + self.code


class CompilationError(Exception):
    """The compiler gives no program; the message says why.

    Attributes:
      needed: bytes of HBM that it would take, as far as the compiler says; else None.
    """

    def __init__(self, reason, needed=None):
        super().__init__(reason, needed)  # both, so that it can be pickled
        self.needed = needed

    def __str__(self):
        return self.args[0]


class DoesNotFitError(CompilationError):
    """The compiler has no room for a program."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """A config on a topology.

    Attributes:
      config: checked.
      stage: "training" or "pretraining".
      topology: a `chips.Topology`.
    """

    config: object
    stage: str
    topology: chips.Topology

    @functools.cached_property
    def mesh(self):
        """The `Mesh` of devices that need not exist."""
        return assemble.mesh(self.config, self.topology.devices())

    @functools.cached_property
    def parts(self):
        """The `assemble.Parts`, for a vocabulary as large as the config allows."""
        # This machine's devices do not matter, but those of the mesh.
        config = configs.from_json(configs.to_json(self.config))
        config.model.attention = "default"
        found = assemble.parts(config, self.config.tokenizer.vocab_size)
        chosen = self.config.model.attention
        attention = None if chosen == "default" else chosen
        return dataclasses.replace(found, model=found.model.clone(attention=attention))

    @functools.cached_property
    def objective(self):
        """The stage's loss."""
        return assemble.objective(self.config, self.stage, self.parts)

    @property
    def section(self):
        """The stage's section of the config."""
        return self.config[self.stage]

    @property
    def batch_unit(self):
        """The least number of rows that every device and microbatch gets a share of."""
        parts = self.mesh.shape["data"] * self.mesh.shape["fsdp"]
        return parts * self.section.microbatches

    @functools.cached_property
    def params(self):
        """Shapes of the parameters, placed; a tree."""
        init = functools.partial(assemble.init_params, self.config, self.parts.model)
        with jax.set_mesh(self.mesh):
            return self._placed(jax.eval_shape(init))

    @functools.cached_property
    def sampled_params(self):
        """Shapes of the parameters to sample with beside the training state."""
        held = sharding.bytes_per_device(self.state)
        if not sharding.fit_whole(self.params, self.topology.chip.hbm_bytes - held):
            return self.params
        place = sharding.replicated(self.mesh)
        return jax.tree.map(lambda x: _shape(x, place), self.params)

    @functools.cached_property
    def state(self):
        """Shapes of the training state, placed; a `TrainState`."""
        optimizer = assemble.optimizer(self.config, self.stage)
        init = functools.partial(step.init_state, optimizer=optimizer)
        with jax.set_mesh(self.mesh):
            return self._placed(jax.eval_shape(init, self.params))

    @property
    def optimizer_choice(self):
        """The optimizer as the config names it, an entry of `OPTIMIZERS`."""
        return configs.build(optimizers.OPTIMIZERS, self.section.optimizer)

    def _placed(self, tree):
        places = sharding.state_shardings(tree, self.mesh)
        return jax.tree.map(_shape, tree, places)

    def rows(self, count, length=None, dtype=jnp.int32):
        """Returns the shape of an array with a row for each example, placed."""
        shape = (count,) if length is None else (count, length)
        place = sharding.batch_sharding(self.mesh, count)
        return jax.ShapeDtypeStruct(shape, dtype, sharding=place)

    def whole(self, make, *args):
        """Returns the shape of what `make` gives, on every device."""
        place = sharding.replicated(self.mesh)
        return jax.tree.map(lambda x: _shape(x, place), jax.eval_shape(make, *args))


def training_step(setting, batch_size):
    """Returns the `Compiled` training step for a batch of `batch_size` rows.

    Raises:
      DoesNotFitError: the compiler has no room for it.
    """
    section = setting.section
    source = consistency.source_length(setting.config)
    target = setting.config.data.target_length
    rows = functools.partial(setting.rows, batch_size)
    batch = Batch(
        source=rows(source),
        source_mask=rows(source, jnp.bool_),
        target=rows(target),
        target_mask=rows(target, jnp.bool_),
        unsupervised=rows(dtype=jnp.bool_),
    )
    train_step = step.make_train_step(
        setting.objective,
        assemble.optimizer(setting.config, setting.stage),
        ema_decay=section.ema_decay,
        microbatches=section.microbatches,
    )
    key = setting.whole(jax.random.key, 0)
    return _compile(setting, train_step, setting.state, batch, key)


def sampler(setting, num_requests):
    """Returns the `Compiled` sampler for a batch of requests; see `training_step`.

    Its parameters lie as those of an evaluation during training do.
    """
    length = consistency.source_length(setting.config)
    return _compile(
        setting,
        drawing.draw,
        sampling_plan(setting),
        setting.sampled_params,
        setting.rows(num_requests, length),
        setting.rows(num_requests, length, jnp.bool_),
        setting.whole(jax.random.key, 0),
        setting.rows(num_requests),
    )


def sampling_plan(setting):
    """Returns the `drawing.Plan` of a setting's config."""
    config = setting.config
    return drawing.Plan.make(
        setting.parts, config, config.inference, config.inference.num_draws
    )


def _compile(setting, function, *arguments):
    start = time.monotonic()
    try:
        with jax.set_mesh(setting.mesh):
            compiled = function.lower(*arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DoesNotFitError("it does not fit", bytes_needed(str(error))) from None
    seconds = time.monotonic() - start
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    program = hlo.parse(compiled.as_text())
    return Compiled(
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        flops=cost.get("flops"),
        hbm_bytes=traffic.hbm_bytes(program),
        collectives=tuple(collectives.find(program, dict(setting.mesh.shape))),
        unknown_loops=program.unknown_loops,
        seconds=seconds,
    )


def bytes_needed(message):
    """Returns the bytes that a compiler's complaint says are needed, or None."""
    found = _USED.search(message) or _EXCEEDS.search(message)
    if not found:
        return None
    number, unit = re.fullmatch(r"([\d.]+)(\w?)", found.group(1)).groups()
    return int(float(number) * _UNITS[unit])


def _shape(x, place):
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
