"""A linear fit by the product's loop, for quick checks: it starts in a second.

Like the tiny config it has two stages, dropout, self-conditioning and a moving average.
"""

import dataclasses
import functools
import io
import multiprocessing
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.reliability.runs import FIRST_STAGE, Settings
from codefusion.checkpoints import Checkpoints
from codefusion.training import loop, optimizers
from codefusion.training import step as training_step


@dataclasses.dataclass(frozen=True)
class Toy:
    """A linear fit by the same loop; it starts in a second.

    Attributes:
      pause: seconds that each batch takes to arrive.
    """

    pause: float = 0.01

    def start(self, workdir, settings, *, environment, log):
        """Starts it in a process of its own.

        The process is forked from one that has imported all and done nothing, which
        takes a fifth of a start from nothing.

        Args:
          workdir: the work directory.
          settings: the `Settings`.
          environment: environment variables of the process.
          log: path of a file that gets what it prints.

        Returns:
          What `subprocess.Popen` would, as far as the scripts need it.
        """
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload([__name__, "orbax.checkpoint"])
        args = (self, workdir, settings, environment, log)
        process = forks.Process(target=_train_forked, args=args, daemon=True)
        process.start()
        return _Forked(process)

    def train(self, workdir, settings, *, change=list, mesh=None, load=None, **shown):
        """Returns the last state, trained or resumed in this process.

        Args:
          workdir: the work directory.
          settings: the `Settings`.
          change: from the toy's stages to those that are trained.
          mesh: of the devices to train on; None for all.
          load: changes the parameters that the run starts from.
          **shown: `stream`, where progress is shown; nowhere without.
        """
        checkpoints = Checkpoints(
            workdir, max_to_keep=settings.keep, every_steps=settings.every
        )
        checkpoints.prepare()
        return loop.train(
            change(self.stages(settings)),
            _toy_params,
            workdir=workdir,
            seed=0,
            checkpoints=checkpoints,
            log_every=settings.log_every,
            on_non_finite=settings.on_non_finite,
            mesh=mesh,
            load=load,
            **{"stream": io.StringIO(), **shown},
        )

    def stages(self, settings):
        """Returns the two stages."""
        lengths = dict(pretraining=FIRST_STAGE, training=settings.steps - FIRST_STAGE)
        optimizer = optimizers.AdamW(learning_rate=0.02, warmup_steps=3)
        return [
            loop.Stage(
                name=name,
                loss_fn=_toy_loss,
                optimizer=optimizer.build(num_steps),
                batches=_ToyBatches(name, self.pause),
                num_steps=num_steps,
                ema_decay=0.9,
            )
            for name, num_steps in lengths.items()
        ]

    def like(self, workdir):
        """Returns the shapes and types of the state in a work directory."""
        del workdir
        optimizer = self.stages(Settings(steps=20))[0].optimizer
        start = functools.partial(training_step.init_state, optimizer=optimizer)
        return jax.eval_shape(start, _toy_params())


class _ToyBatches:
    """Rows that are a pure function of (stage, index)."""

    def __init__(self, stage, pause):
        self.content_hash, self.batch_size, self.rows = f"toy {stage}", 8, None
        self._seed, self._pause = len(stage), pause

    def __getitem__(self, index):
        inputs = np.random.default_rng((self._seed, index)).normal(size=(8, 4))
        inputs = inputs.astype(np.float32)
        return {"inputs": inputs, "outputs": inputs @ np.ones((4, 2), np.float32)}

    def examples(self, index):
        return [(0, 8 * index + row) for row in range(8)]

    def iterate(self, start):
        for index in range(start, sys.maxsize):
            time.sleep(self._pause)
            yield self[index]


def _toy_params():
    kernel = jax.random.normal(jax.random.key(1), (4, 2))
    return {"kernel": kernel, "bias": jnp.zeros((1, 2))}


def _toy_loss(params, batch, key):
    """Inputs are dropped at random; half of the time the output sees itself."""
    drop_key, self_key = jax.random.split(key)
    kept = jax.random.bernoulli(drop_key, 0.8, batch["inputs"].shape)
    outputs = jnp.where(kept, batch["inputs"], 0.0) @ params["kernel"] + params["bias"]
    again = outputs + 0.1 * jnp.tanh(jax.lax.stop_gradient(outputs))
    outputs = jnp.where(jax.random.bernoulli(self_key), again, outputs)
    error = jnp.mean(jnp.square(outputs - batch["outputs"]))
    size = jnp.sum(jnp.square(params["kernel"]))
    return error + 1e-3 * size, {"error": error, "size": size}


class _Forked:
    """A process of multiprocessing with the face of `subprocess.Popen`."""

    def __init__(self, process):
        self._process = process

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def kill(self):
        self._process.kill()

    def wait(self, seconds=None):
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("the toy", seconds)
        return self._process.exitcode


def _train_forked(toy, workdir, settings, environment, log):
    for name in ("jax_compilation_cache_dir", "jax_platforms"):
        jax.config.update(name, environment[name.upper()])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(descriptor, number)
    toy.train(workdir, settings, stream=sys.stderr)
