"""The tiny config of the repository, trained as its command trains it."""

import contextlib
import dataclasses
import importlib.util
import io
import pathlib
import subprocess
import sys
from unittest import mock

import jax

from benchmarks.reliability.runs import FIRST_STAGE, ROOT
from codefusion import assemble, workdirs
from codefusion import config as configs
from codefusion.commands import train as train_command
from codefusion.data.tokenizer import Tokenizer
from codefusion.training import optimizers
from codefusion.training import step as training_step


@dataclasses.dataclass(frozen=True)
class Tiny:
    """`configs/tiny.py` with fewer rows, trained as `codefusion train` does.

    Attributes:
      overrides: further keys of the config with their values.
    """

    overrides: tuple[tuple[str, object], ...] = ()

    def start(self, workdir, settings, *, environment, log):
        """Starts the command `codefusion train` in a process of its own.

        Args:
          workdir: the work directory.
          settings: the `Settings`.
          environment: environment variables of the process.
          log: path of a file that gets what it prints.

        Returns:
          A `subprocess.Popen`.
        """
        keys = self._overrides(settings)
        command = [
            *(sys.executable, "-m", "codefusion", "train"),
            f"--config={ROOT / 'configs' / 'tiny.py'}",
            f"--workdir={workdir}",
            *(f"--config.{key}={value}" for key, value in keys.items()),
        ]
        with open(log, "wb") as file:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def config(self, settings):
        """Returns the checked config."""
        config = _load("tiny_config", ROOT / "configs" / "tiny.py").get_config()
        config.update_from_flattened_dict(self._overrides(settings))
        return assemble.check(config)

    def train(self, workdir, settings, *, change=list, mesh=None, load=None):
        """Returns the last state, trained or resumed in this process.

        Args:
          workdir: the work directory.
          settings: the `Settings`.
          change: from the command's stages to those that are trained.
          mesh: of the devices to train on; None for that of the config.
          load: changes the parameters that the run starts from.
        """
        stages, meshes = assemble.stages, assemble.mesh
        with (
            mock.patch.multiple(
                assemble,
                stages=lambda *args: change(stages(*args)),
                mesh=lambda config: meshes(config) if mesh is None else mesh,
            ),
            mock.patch.object(train_command, "encoder_loader", lambda path: load),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            return train_command.train(self.config(settings), workdir)

    def like(self, workdir):
        """Returns the shapes and types of the state in a work directory."""
        folder = pathlib.Path(workdir)
        config = assemble.check(workdirs.read_config(folder / "config.json"))
        tokenizer = Tokenizer.load(folder / "tokenizer.model")
        model = assemble.parts(config, tokenizer.vocab_size).model
        section = config.training
        optimizer = configs.build(optimizers.OPTIMIZERS, section.optimizer)
        optimizer = optimizer.build(section.num_steps)
        return jax.eval_shape(
            lambda: training_step.init_state(
                assemble.init_params(config, model), optimizer
            )
        )

    def _overrides(self, settings):
        return {
            "data.size": 200,  # making the rows takes longer than all steps
            "pretraining.num_steps": FIRST_STAGE,
            "training.num_steps": settings.steps - FIRST_STAGE,
            "training.checkpoint_every": settings.every,
            "training.max_to_keep": settings.keep,
            "training.log_every": settings.log_every,
            "training.on_non_finite": settings.on_non_finite,
            **dict(self.overrides),
        }


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
