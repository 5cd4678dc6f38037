"""Checkpoints that are either whole and proven so, or not restored.

A checkpoint is the folder `checkpoints/<step>/`: the arrays (`state/`, by orbax), what
else a run needs (`extra.json`), and `manifest.json` with the size and SHA-256 of every
file. It is written under another name, flushed to the disk and renamed when the
manifest is in place, so a process killed at any moment leaves the earlier ones as they
were. Orbax notices a missing file but not a flipped bit: hence the manifest, which is
checked before anything is restored. Orbax's CheckpointManager is not used because it
deletes old steps before a manifest of the new one could exist.
"""

import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import shutil
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"
_EXTRA = "extra.json"
_STATE = "state"
_UNFINISHED = "unfinished."


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or resumed; the message says why."""


@dataclasses.dataclass
class Checkpoints:
    """The checkpoints of one work directory.

    Attributes:
      workdir: the work directory; checkpoints lie in its folder `checkpoints`.
      max_to_keep: how many of the newest steps are kept.
      every_steps: a save is due at multiples of this many steps; 0 is never.
      every_minutes: a save is due this long after the last one; 0 is never.
    """

    workdir: str | os.PathLike
    max_to_keep: int = 2
    every_steps: int = 0
    every_minutes: float = 0.0

    def __post_init__(self):
        if self.max_to_keep < 1:
            raise ValueError(f"max_to_keep is {self.max_to_keep}; expected at least 1.")
        # Orbax wants absolute paths.
        self.folder = pathlib.Path(self.workdir).absolute() / "checkpoints"
        self._saved_at = time.monotonic()
        self._intact = set()

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, intact or not, oldest first."""
        if not self.folder.is_dir():
            return []
        names = [path.name for path in self.folder.iterdir() if path.is_dir()]
        return sorted(int(name) for name in names if name.isdecimal())

    def due(self, step: int) -> bool:
        """Returns whether a save is due after `step`."""
        if self.every_steps and step % self.every_steps == 0:
            return True
        minutes = (time.monotonic() - self._saved_at) / 60.0
        return bool(self.every_minutes) and minutes >= self.every_minutes

    def prepare(self):
        """Makes the folder and proves that it can be written to, or says why not."""
        probe = self.folder / f"{_UNFINISHED}probe.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"1")
            probe.unlink()
        except OSError as error:
            raise CheckpointError(
                f"Checkpoints cannot be written to {self.folder}: {_reason(error)}. "
                f"Set --workdir to a folder that can be written to."
            ) from error

    def save(self, step: int, state, extra: dict[str, Any] | None = None):
        """Writes a checkpoint; on failure the earlier ones are as they were.

        Args:
          step: the step, which names the checkpoint.
          state: a tree of arrays, none of them empty.
          extra: what else belongs to the step, as JSON.
        """
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        unfinished = self.folder / f"{_UNFINISHED}{step}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clear_unfinished()
            _check_space(self.folder, needed)
            _write(unfinished, state, extra or {})
            self._publish(unfinished, step)
        except Exception as error:  # tensorstore and orbax have errors of many kinds
            shutil.rmtree(unfinished, ignore_errors=True)
            raise CheckpointError(self._save_failed(step, needed, error)) from error
        self._saved_at = time.monotonic()
        self._prune(step)

    def latest(self) -> int | None:
        """Returns the newest intact step, or None if there is no checkpoint at all.

        Each newer step that is not intact is named in a warning with its reason.

        Raises:
          CheckpointError: there are checkpoints, but none is intact.
        """
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

    def fault(self, step: int) -> str | None:
        """Returns what is wrong with the files of a step, or None if it is intact."""
        if step in self._intact:
            return None
        fault = _fault(self.folder / str(step))
        if fault is None:
            self._intact.add(step)
        return fault

    def extra(self, step: int) -> dict[str, Any]:
        """Returns the JSON saved with a step, after the step is proven intact."""
        self._require_intact(step)
        return json.loads((self.folder / str(step) / _EXTRA).read_text())

    def restore(self, step: int, like):
        """Returns the arrays of a step in the structure of `like`.

        `like` may hold part of what was saved, such as `{"ema_params": ...}`.

        Args:
          step: a step that has an intact checkpoint.
          like: a tree of arrays or `jax.ShapeDtypeStruct`; a leaf with a sharding is
            restored to it, others to the default device.

        Returns:
          A tree of arrays.
        """
        self._require_intact(step)
        folder = self.folder / str(step)
        _check_leaves(folder, like)
        return _read_arrays(folder / _STATE, like)

    def _require_intact(self, step):
        fault = self.fault(step)
        if fault is not None:
            raise CheckpointError(
                f"Checkpoint {step} in {self.folder} is not intact: {fault}."
            )

    def _clear_unfinished(self):
        for path in self.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _publish(self, unfinished, step):
        final = self.folder / str(step)
        self._intact.discard(step)
        if final.exists():
            # Reached again because it was not intact, or saved twice.
            os.replace(final, self.folder / f"{_UNFINISHED}replaced.{step}")
        os.replace(unfinished, final)
        _flush(self.folder)
        self._clear_unfinished()

    def _prune(self, saved):
        """Keeps the newest steps; a step beyond the one just saved was not intact."""
        steps = self.steps()
        kept = [step for step in steps if step <= saved][-self.max_to_keep :]
        for step in set(steps) - set(kept):
            self._intact.discard(step)
            shutil.rmtree(self.folder / str(step), ignore_errors=True)

    def _save_failed(self, step, needed, error):
        kept = self.steps()
        last = f"the last good one is step {kept[-1]}" if kept else "there is none yet"
        return (
            f"Checkpoint {step} could not be saved to {self.folder}: {_reason(error)} "
            f"({_mib(needed)} needed, {_mib(_free(self.folder))} free); {last}. "
            f"Make room or set another --workdir, and run the same command again."
        )


def _named_leaves(tree) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    name = jax.tree_util.keystr
    return {name(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _write(folder, state, extra):
    """Writes all files of a checkpoint, the manifest last, and flushes them."""
    folder.mkdir()
    leaves = _named_leaves(state)
    _write_arrays(folder / _STATE, leaves)
    (folder / _EXTRA).write_text(json.dumps(extra, sort_keys=True, indent=1))
    manifest = {
        "files": {name: _digest(folder / name) for name in _files(folder)},
        "leaves": {name: _kind(leaf) for name, leaf in leaves.items()},
    }
    body = json.dumps(manifest, sort_keys=True, indent=1)
    envelope = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body}
    (folder / _MANIFEST).write_text(json.dumps(envelope))
    for path in [*folder.rglob("*"), folder]:
        _flush(path)


def _read_manifest(folder) -> dict[str, Any]:
    """Returns the manifest, or raises ValueError if it is not as it was written."""
    envelope = json.loads((folder / _MANIFEST).read_bytes())
    body = envelope["body"]
    if hashlib.sha256(body.encode()).hexdigest() != envelope["sha256"]:
        raise ValueError("its SHA-256 differs from the recorded one")
    return json.loads(body)


def _fault(folder) -> str | None:
    try:
        recorded = _read_manifest(folder)["files"]
    except FileNotFoundError:
        return f"file {_MANIFEST} is missing"
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"file {_MANIFEST} cannot be used ({_reason(error)})"
    present = set(_files(folder))
    for name in sorted(recorded):
        if name not in present:
            return f"file {name} is missing"
        try:
            digest = _digest(folder / name)
        except OSError as error:
            return f"file {name} cannot be read ({_reason(error)})"
        size = recorded[name]["size"]
        if digest["size"] != size:
            return f"file {name} has {digest['size']} bytes instead of {size}"
        if digest != recorded[name]:
            return f"file {name} does not have the SHA-256 of the manifest"
    strays = sorted(present - recorded.keys())
    return f"file {strays[0]} is not in the manifest" if strays else None


def _files(folder) -> list[str]:
    paths = (path for path in folder.rglob("*") if not path.is_dir())
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    return [name for name in names if name != _MANIFEST]


def _digest(path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size": file.tell(), "sha256": digest}


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _kind(leaf) -> str:
    return f"{jnp.dtype(leaf.dtype).name}{list(np.shape(leaf))}"


def _check_leaves(folder, like):
    saved = _read_manifest(folder)["leaves"]
    for name, leaf in _named_leaves(like).items():
        if saved.get(name) != _kind(leaf):
            raise CheckpointError(
                f"Checkpoint {folder} has {saved.get(name, 'nothing')} for {name}; "
                f"this model needs {_kind(leaf)}. Use the config it was trained with."
            )


def _write_arrays(folder, leaves):
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(folder, args=ocp.args.PyTreeSave(leaves))


def _read_arrays(folder, like):
    import orbax.checkpoint as ocp

    default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def abstract(leaf):
        sharding = getattr(leaf, "sharding", None) or default
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    wanted = {name: abstract(leaf) for name, leaf in _named_leaves(like).items()}
    args = ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
        partial_restore=True,
    )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        arrays = checkpointer.restore(folder, args=args)
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[n] for n in wanted])


def _check_space(folder, needed):
    if _free(folder) < needed:
        raise OSError("there is no room on the device")


def _free(folder) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _mib(num_bytes) -> str:
    return f"{num_bytes / 2**20:.1f} MiB"


def _reason(error) -> str:
    """Returns an error in one line, without the traces that libraries append."""
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return " ".join(text.split())[:300].rstrip(".")
