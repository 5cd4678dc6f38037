"""The folders of the steps: begun, finished, removed, none of them half seen.

Beside the folder of a step lies a file `unfinished.<step>` from before the folder is
made until its manifest is written, and while it is removed. So a kill at any moment
leaves a step that has a manifest, or one that this file tells to be no checkpoint; a
folder with neither was damaged from outside.
"""

import contextlib
import uuid

from codefusion import files
from codefusion.checkpoints import disk, manifest

_MARK = "unfinished."
_PROBE = "probe."


def steps(root) -> list[int]:
    """Returns the steps that are checkpoints, intact or not, in rising order.

    Args:
      root: the folder of all checkpoints, an `epath.Path`; it may be missing.
    """
    names = _names(root)
    found = [int(name) for name in names if name.isdecimal() and (root / name).is_dir()]
    cut_off = {step for step in _marked(names) if not _is_committed(root, step)}
    return sorted(set(found) - cut_off)


def begin(root, step: int):
    """Returns the new folder of a step, marked as unfinished.

    Args:
      root: the folder of all checkpoints, an `epath.Path`.
      step: which has no folder.
    """
    (root / f"{_MARK}{step}").write_bytes(b"")
    files.flush(root)
    folder = root / str(step)
    folder.mkdir()
    files.flush(root)
    return folder


def finish(root, step: int):
    """Takes the mark from a step whose manifest is written."""
    # Which is what counts: with a manifest the mark says nothing. Buckets have errors
    # of many kinds, here and below.
    with contextlib.suppress(Exception):
        (root / f"{_MARK}{step}").unlink(missing_ok=True)


def remove(root, step: int):
    """Removes a step; what cannot be removed is marked, and no checkpoint."""
    folder = root / str(step)
    with contextlib.suppress(Exception):
        (root / f"{_MARK}{step}").write_bytes(b"")
        (folder / manifest.NAME).unlink(missing_ok=True)
        files.flush(root)
    disk.remove_tree(folder)
    if not folder.exists():
        finish(root, step)


def write_probe(root) -> str:
    """Returns the name of a new file, which proves that the root can be written to."""
    name = f"{_PROBE}{uuid.uuid4().hex}"
    (root / name).write_bytes(b"1")
    return name


def clear(root):
    """Removes what saves and starts that were cut off have left."""
    names = _names(root)
    for name in names:
        if name.startswith(_PROBE):
            with contextlib.suppress(Exception):  # it does no harm
                (root / name).unlink(missing_ok=True)
    for step in _marked(names):
        if _is_committed(root, step):
            finish(root, step)
        else:
            remove(root, step)


def _names(root):
    return [path.name for path in root.iterdir()] if root.is_dir() else []


def _marked(names):
    """Returns the steps that are marked as unfinished, in a listing of the root."""
    tails = [name.removeprefix(_MARK) for name in names if name.startswith(_MARK)]
    return [int(tail) for tail in tails if tail.isdecimal()]


def _is_committed(root, step):
    return (root / str(step) / manifest.NAME).exists()
