"""The checkpoints of one work directory: when to save, saving, finding, restoring."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import jax

from codefusion import trees
from codefusion.checkpoints import (
    arrays,
    background,
    disk,
    first_host,
    folders,
    manifest,
)
from codefusion.checkpoints.errors import CheckpointError, reason
from codefusion.files import write_whole

_log = logging.getLogger(__name__)

_EXTRA = "extra.json"
_STATE = "state"


@dataclasses.dataclass
class Checkpoints:
    """The checkpoints of one work directory.

    A save goes on in the background: its error is raised by the next `check`, `save` or
    `wait`, and a program calls `wait` before it ends. With several hosts all of them
    call `save`, `wait`, `latest`, `extra`, `file` and `restore`, in the same order.

    Attributes:
      workdir: the work directory, a folder or a bucket path such as gs://name/run;
        checkpoints lie in its folder `checkpoints`. All hosts see the same one.
      max_to_keep: how many of the newest steps are kept.
      every_steps: a save is due at multiples of this many steps; 0 is never.
      every_minutes: a save is due this long after the last one began; 0 is never.
    """

    workdir: str | os.PathLike
    max_to_keep: int = 2
    every_steps: int = 0
    every_minutes: float = 0.0

    def __post_init__(self):
        if self.max_to_keep < 1:
            raise ValueError(f"max_to_keep is {self.max_to_keep}; expected at least 1.")
        self.folder = disk.absolute(self.workdir) / "checkpoints"
        self._saved_at = time.monotonic()
        self._intact = set()  # alike on all hosts
        self._saving = None

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, intact or not, oldest first.

        A save under way, and one that was cut off, is no checkpoint.
        """
        return folders.steps(self.folder)

    def due(self, step: int) -> bool:
        """Returns whether a save is due after `step`."""
        if self.every_steps and step % self.every_steps == 0:
            return True
        minutes = (time.monotonic() - self._saved_at) / 60.0
        return bool(self.every_minutes) and minutes >= self.every_minutes

    def prepare(self):
        """Makes the folder and proves that all hosts share it and may write to it."""
        name = first_host.call(self._write_probe)
        blind = first_host.without(self._sees(name))
        if jax.process_index() == 0:
            with contextlib.suppress(Exception):  # the next save clears it
                (self.folder / name).unlink()
        if blind:
            raise CheckpointError(
                f"Host {', '.join(map(str, blind))} of {jax.process_count()} does not "
                f"see what host 0 writes to {self.folder}. Set --workdir to a folder "
                "that all hosts share, or to a bucket."
            )

    def save(
        self,
        step: int,
        state,
        extra: dict[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ):
        """Begins to write a checkpoint; until it is whole the earlier ones are kept.

        Waits for the save before it. When it returns, the arrays may be donated. A step
        that has an intact checkpoint is left as it is.

        Args:
          step: the step, which names the checkpoint.
          state: a tree of arrays, none of them empty.
          extra: what else belongs to the step, as JSON.
          files: what else shall lie in its folder, content by name.

        Raises:
          CheckpointError: this save cannot begin, or the one before it failed.
        """
        self.wait()
        self._saved_at = time.monotonic()
        leaves = trees.named_leaves(state)
        save = _Save(
            step=step,
            needed=sum(leaf.nbytes for leaf in leaves.values()),
            kinds={name: manifest.kind(leaf) for name, leaf in leaves.items()},
            files=_contents(extra, files),
        )
        try:
            if first_host.call(functools.partial(self._begin, save)):
                writer = arrays.begin_write(self.folder / str(step) / _STATE, leaves)
                save.done = background.start(self._finish, save, writer)
                self._saving = save
        except Exception as error:  # tensorstore and orbax have errors of many kinds
            raise self._failure(save, error) from error
        self._intact.clear()

    def check(self):
        """Raises CheckpointError if the save under way has failed; does not wait."""
        save = self._saving
        if save is not None and save.done.done() and save.done.exception():
            self._saving = None
            raise self._failure(save, save.done.exception())

    def wait(self):
        """Waits until no save is under way; raises CheckpointError if one failed."""
        save, self._saving = self._saving, None
        if save is None:
            return
        error = save.done.exception()
        if error is not None:
            error = self._failure(save, error)
        first_host.call(functools.partial(_raise, error))
        _raise(error)

    def close(self):
        """Does as `wait`: between saves no thread and no file is held."""
        self.wait()

    def latest(self) -> int | None:
        """Returns the newest intact step, or None if there is no checkpoint at all.

        Each newer step that is not intact is named in a warning with its reason.

        Raises:
          CheckpointError: there are checkpoints, but none is intact.
        """
        step = first_host.call(self._latest)
        if step is not None:
            self._intact.add(step)
        return step

    def fault(self, step: int) -> str | None:
        """Returns what is wrong with the files of a step, or None if it is intact."""
        return manifest.fault(self.folder / str(step))

    def extra(self, step: int) -> dict[str, Any]:
        """Returns the JSON saved with a step, after the step is proven intact."""
        return json.loads(self.file(step, _EXTRA))

    def file(self, step: int, name: str) -> bytes:
        """Returns a file saved with a step, after the step is proven intact."""
        self._require_intact(step)
        path = self.folder / str(step) / name
        if not path.exists():
            raise CheckpointError(f"Checkpoint {path.parent} has no file {name}.")
        return path.read_bytes()

    def restore(self, step: int, like):
        """Returns the arrays of a step in the structure of `like`.

        `like` may hold part of what was saved, such as `{"ema_params": ...}`, and may
        be laid out over other devices than those that saved it.

        Args:
          step: a step that has an intact checkpoint.
          like: a tree of arrays or `jax.ShapeDtypeStruct`; a leaf with a sharding is
            restored to it, others to the default device.

        Returns:
          A tree of arrays.
        """
        self._require_intact(step)
        folder = self.folder / str(step)
        arrays.check_leaves(folder, like)
        return arrays.read(folder / _STATE, like)

    def _write_probe(self):
        try:
            disk.make_folder(self.folder)
            return folders.write_probe(self.folder)
        except Exception as error:  # buckets have errors of many kinds
            raise CheckpointError(
                f"Checkpoints cannot be written to {self.folder}: {reason(error)}. "
                f"Set --workdir to a folder that can be written to."
            ) from error

    def _sees(self, name):
        """Returns whether a file is there; an error is told, as all hosts go on."""
        try:
            return (self.folder / name).exists()
        except Exception as error:  # buckets have errors of many kinds
            _log.warning("%s cannot be looked up: %s.", self.folder, reason(error))
            return False

    def _latest(self):
        faults = []
        for step in reversed(self.steps()):
            fault = self.fault(step)
            if fault is None:
                for line in faults:
                    _log.warning("%s Using step %d instead.", line, step)
                return step
            faults.append(f"Checkpoint {step} is not intact: {fault}.")
        if not faults:
            return None
        raise CheckpointError(
            f"No checkpoint in {self.folder} is intact. {' '.join(faults)} "
            f"To start anew, remove that folder or set another --workdir."
        )

    def _require_intact(self, step):
        if step not in self._intact:
            first_host.call(functools.partial(self._check_intact, step))
            self._intact.add(step)

    def _check_intact(self, step):
        fault = self.fault(step)
        if fault is not None:
            raise CheckpointError(
                f"Checkpoint {step} in {self.folder} is not intact: {fault}."
            )

    def _begin(self, save):
        """Makes the folder of a step; returns whether it is to be written."""
        disk.make_folder(self.folder)
        folders.clear(self.folder)
        if save.step in self.steps():  # not intact, or saved twice
            if self.fault(save.step) is None:
                return False
            folders.remove(self.folder, save.step)
        free = disk.free(self.folder)
        if free is not None and free < save.needed:
            raise OSError("there is no room on the device")
        folders.begin(self.folder, save.step)
        return True

    def _finish(self, save, writer):
        """Completes a save: the arrays of all hosts, then the rest, by the first."""
        with contextlib.closing(writer):
            writer.wait_until_finished()
        if jax.process_index() != 0:
            return
        try:
            self._commit(save)
        except Exception:
            with contextlib.suppress(Exception):  # else it would hide the first error
                folders.remove(self.folder, save.step)
            raise
        self._prune(save.step)

    def _commit(self, save):
        folder = self.folder / str(save.step)
        for name, content in save.files.items():
            write_whole(folder / name, content)
        manifest.write(folder, save.kinds)
        folders.finish(self.folder, save.step)

    def _prune(self, saved):
        """Keeps the newest steps; a step beyond the one just saved was not intact."""
        steps = self.steps()
        kept = [step for step in steps if step <= saved][-self.max_to_keep :]
        for step in set(steps) - set(kept):
            try:
                folders.remove(self.folder, step)
            except Exception as error:  # the save itself has succeeded
                _log.warning("Checkpoint %d stays behind: %s.", step, reason(error))

    def _failure(self, save, error):
        """Returns the CheckpointError of a failed save, of which nothing is left."""
        if jax.process_index() == 0:
            with contextlib.suppress(Exception):
                folders.clear(self.folder)
        free = disk.free(self.folder)
        space = f"{_mib(save.needed)} needed"
        if free is not None:
            space += f", {_mib(free)} free"
        return CheckpointError(
            f"Checkpoint {save.step} could not be saved to {self.folder}: "
            f"{reason(error)} ({space}); {self._last_good()}. "
            f"Make room or set another --workdir, and run the same command again."
        )

    def _last_good(self):
        try:
            kept = self.steps()
        except Exception as error:  # what keeps a save from a disk may keep a look too
            return f"the earlier ones cannot be listed ({reason(error)})"
        return f"the last good one is step {kept[-1]}" if kept else "there is none yet"


@dataclasses.dataclass
class _Save:
    """One save, and the future of its end once it is under way."""

    step: int
    needed: int
    kinds: dict[str, str]
    files: dict[str, bytes]
    done: concurrent.futures.Future | None = None


def _contents(extra, files):
    """Returns the files of a save that are not arrays, content by name."""
    reserved = {_EXTRA, _STATE, manifest.NAME}
    for name in files or {}:
        if name in reserved or "/" in name:
            raise ValueError(
                f"a checkpoint's file is called {name!r}; expected a plain name that "
                f"is none of {', '.join(sorted(reserved))}."
            )
    text = json.dumps(extra or {}, sort_keys=True, indent=1)
    return {**(files or {}), _EXTRA: text.encode()}


def _raise(error):
    if error is not None:
        raise error


def _mib(num_bytes) -> str:
    return f"{num_bytes / 2**20:.1f} MiB"
