"""What the scripts share: processes, a run to compare with, bits, and figures."""

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.reliability.runs import ROOT, Settings
from benchmarks.reliability.tiny import Tiny
from benchmarks.reliability.toy import Toy
from codefusion import trees
from codefusion.checkpoints import Checkpoints
from codefusion.training.records import read_rows

PROGRAMS = {"tiny": Tiny, "toy": Toy}
_COMPILED = "compiled"
TIMEOUT = 600.0  # seconds that a start, a first compilation included, may take


def parser(doc, **defaults):
    """Returns a parser of --seed and `--name=value` for each keyword.

    Args:
      doc: of the script; its first line tells what it does.
      **defaults: value by name; that of `program` is one of `PROGRAMS`.
    """
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, value in {"seed": 0, **defaults}.items():
        choices = PROGRAMS if name == "program" else None
        made.add_argument(f"--{name}", type=type(value), default=value, choices=choices)
    return made


def fault():
    """Returns the field of a `Tally` for a count that has to be 0."""
    return dataclasses.field(default=0, metadata={"is_fault": True})


class Tally:
    """Base of the dataclasses in which the scripts count what happened."""

    def faults(self):
        """Returns {name: count} of what has to be 0."""
        fields = [f for f in dataclasses.fields(self) if "is_fault" in f.metadata]
        return {field.name: getattr(self, field.name) for field in fields}

    def held(self):
        """Returns {what was to hold: whether it did} of the faults."""
        return {f"0 {name}": count == 0 for name, count in self.faults().items()}


class Process:
    """A run in a process of its own; what it prints goes to a file beside its folder.

    All runs beside each other share what one of them has compiled.

    Args:
      program: one of `PROGRAMS`, made.
      workdir: its work directory.
      settings: its `Settings`.
    """

    def __init__(self, program, workdir, settings):
        workdir = pathlib.Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        self._log = workdir.with_suffix(".log")
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "JAX_COMPILATION_CACHE_DIR": str(workdir.parent / _COMPILED),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        self._process = program.start(
            workdir, settings, environment=environment, log=self._log
        )

    @property
    def code(self):
        """Its exit code, None while it runs."""
        return self._process.poll()

    def printed(self):
        """Returns all that it has printed."""
        return self._log.read_text(errors="replace")

    def send(self, number):
        """Sends a signal."""
        self._process.send_signal(number)

    def wait(self, seconds=TIMEOUT):
        """Returns its exit code, or None where it has not ended after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self):
        """Kills it, wherever it is, and returns its exit code."""
        self._process.kill()
        return self._process.wait()

    def until(self, condition, seconds=TIMEOUT):
        """Waits for a condition or the process's end; returns whether it came true.

        Raises:
          TimeoutError: neither came within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            if self.code is not None:
                return bool(condition())
            time.sleep(0.002)
        self.end()
        raise TimeoutError(f"nothing after {seconds} s: {self.printed()[-2000:]}")


def losses(workdir):
    """Returns {step: the loss in hexadecimal} of the rows of a run's metrics."""
    rows = read_rows(pathlib.Path(workdir) / "metrics.jsonl")
    return {r["step"]: r["loss"].hex() for r in rows if r.get("loss") is not None}


def digests(tree):
    """Returns {path: SHA-256 of type, shape and bytes} of a tree of arrays."""
    return {path: _digest(leaf) for path, leaf in trees.named_leaves(tree).items()}


def _digest(leaf):
    leaf = np.asarray(leaf)
    head = f"{leaf.dtype}{leaf.shape}".encode()
    return hashlib.sha256(head + leaf.tobytes()).hexdigest()


def reference(program, settings, workdir, every=1):
    """Returns the `Reference` of a run in a process that nothing happens to.

    Args:
      program: one of `PROGRAMS`, made.
      settings: the `Settings` of the runs that are compared with it.
      workdir: its work directory, a pathlib.Path.
      every: steps between its checkpoints.
    """
    kept = dataclasses.replace(settings, every=every, keep=settings.steps + 1)
    process = Process(program, workdir, kept)
    if process.wait(seconds=TIMEOUT + settings.steps) != 0:
        process.end()
        raise RuntimeError(f"the whole run failed: {process.printed()[-2000:]}")
    return Reference(program, settings, workdir)


@dataclasses.dataclass
class Reference:
    """A finished run that nothing happened to, with all its checkpoints.

    Attributes:
      program: one of `PROGRAMS`, made.
      settings: the `Settings` of the runs that are compared with it.
      workdir: its work directory.
    """

    program: object
    settings: Settings
    workdir: pathlib.Path

    def __post_init__(self):
        self.losses = losses(self.workdir)
        self.steps = set(Checkpoints(self.workdir).steps())
        self.like = self.program.like(self.workdir)
        self.state = functools.cache(lambda step: self.saved(self.workdir, step))

    def saved(self, workdir, step):
        """Returns the `digests` of the state that a run of the program has saved."""
        return digests(Checkpoints(workdir).restore(step, self.like))

    def wrong_losses(self, workdir):
        """Returns the steps of a run whose loss has other bits than here."""
        found = losses(workdir)
        return [step for step, loss in found.items() if loss != self.losses[step]]

    def wrong_leaves(self, workdir, step):
        """Returns the names of the arrays of a saved step that have other bits."""
        expected = self.state(step)
        found = self.saved(workdir, step)
        return [name for name in expected if found.get(name) != expected[name]]

    def is_whole(self, workdir):
        """Returns whether a finished run has every step and ends with the same bits."""
        same = losses(workdir) == self.losses
        return same and not self.wrong_leaves(workdir, self.settings.steps)


def unfinished(workdir):
    """Returns what saves have left half done, {(name, time of its last change)}.

    That is all that lies beside the intact checkpoints, but for the probe of a start.
    """
    saved = Checkpoints(workdir)
    whole = {str(step) for step in saved.steps() if saved.fault(step) is None}
    if not saved.folder.is_dir():
        return set()
    return {
        (path.name, os.stat(path).st_mtime_ns)
        for path in saved.folder.iterdir()
        if path.name not in whole and not path.name.startswith("probe.")
    }


@contextlib.contextmanager
def scratch():
    """Gives a folder, a pathlib.Path, that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="codefusion-") as name:
        yield pathlib.Path(name)


@contextlib.contextmanager
def compiled_once(root):
    """Lets this process share what it compiles with the runs in a folder.

    Args:
      root: folder of the work directories, a pathlib.Path.
    """
    changes = dict(
        jax_compilation_cache_dir=str(root / _COMPILED),
        jax_persistent_cache_min_compile_time_secs=0.0,
    )
    before = {name: jax.config.values[name] for name in changes}
    _configure(changes)
    try:
        yield
    finally:
        _configure(before)


def _configure(settings):
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # jax looks at the settings once, until told


def missed(held):
    """Returns what was to hold, of {what: whether it did}, and did not."""
    return [what for what, holds in held.items() if not holds]


def finish(name, figures, held):
    """Prints a line of figures and exits, with code 1 where one is missed.

    Args:
      name: of the script.
      figures: {name: value} to print.
      held: {what was to hold: whether it did}.
    """
    for what in missed(held):
        print(f"missed: {what}", file=sys.stderr)
    shown = ", ".join(
        f"{value} {key.replace('_', ' ')}" for key, value in figures.items()
    )
    print(f"{name}: {shown}: {'MISSED' if missed(held) else 'held'}", flush=True)
    sys.exit(1 if missed(held) else 0)
