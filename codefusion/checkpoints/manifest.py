"""The list of a checkpoint's files with their sizes and SHA-256, which commits it.

The hashes are of what is read back after flushing, which the system may answer from
memory: they do not prove what the disk itself holds.
"""

import concurrent.futures
import hashlib
import json
import os
from typing import Any

import jax.numpy as jnp
import numpy as np

from codefusion import files
from codefusion.checkpoints import disk
from codefusion.checkpoints.errors import reason

NAME = "manifest.json"


def write(folder, leaves: dict[str, str]):
    """Makes all files of a folder durable, hashes them, and writes the manifest.

    Args:
      folder: of a checkpoint, an `epath.Path`.
      leaves: what `kind` says of each leaf, by name.
    """
    names, folders = disk.walk(folder)
    for inner in [folder / name for name in folders]:
        files.flush(inner)
    digests = _map(lambda name: _digest(folder / name, flush=True), names)
    manifest = {"files": dict(zip(names, digests, strict=True)), "leaves": leaves}
    body = json.dumps(manifest, sort_keys=True, indent=1)
    envelope = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body}
    files.write_whole(folder / NAME, json.dumps(envelope).encode())


def read(folder) -> dict[str, Any]:
    """Returns the manifest, or raises ValueError if it is not as it was written."""
    envelope = json.loads((folder / NAME).read_bytes())
    body = envelope["body"]
    if hashlib.sha256(body.encode()).hexdigest() != envelope["sha256"]:
        raise ValueError("its SHA-256 differs from the recorded one")
    return json.loads(body)


def fault(folder) -> str | None:
    """Returns what is wrong with a checkpoint's files, None if they are as written.

    Args:
      folder: of a checkpoint, an `epath.Path`.
    """
    try:
        recorded = read(folder)["files"]
    except FileNotFoundError:
        return f"file {NAME} is missing"
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"file {NAME} cannot be used ({reason(error)})"
    try:
        present = set(disk.walk(folder)[0]) - {NAME}
    except OSError as error:
        return f"its folder cannot be read ({reason(error)})"
    if missing := sorted(set(recorded) - present):
        return f"file {missing[0]} is missing"
    faults = _map(lambda n: _file_fault(folder, n, recorded[n]), sorted(recorded))
    if any(faults):
        return next(filter(None, faults))
    extra = sorted(present - set(recorded))
    return f"file {extra[0]} is not in the manifest" if extra else None


def kind(leaf) -> str:
    """Returns the dtype and shape of an array, such as "float32[16, 32]"."""
    return f"{jnp.dtype(leaf.dtype).name}{list(np.shape(leaf))}"


def _file_fault(folder, name, recorded):
    try:
        found = _digest(folder / name)
    except OSError as error:
        return f"file {name} cannot be read ({reason(error)})"
    if found["size"] != recorded["size"]:
        return f"file {name} has size {found['size']}, not {recorded['size']}"
    if found["sha256"] != recorded["sha256"]:
        has, wanted = found["sha256"][:12], recorded["sha256"][:12]
        return f"file {name} has sha256 {has}, not {wanted}"
    return None


def _map(function, names):
    """Returns `[function(name), ...]`, several at a time: hashing releases the GIL."""
    workers = min(8, os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, names))


def _digest(path, *, flush=False):
    """Returns the size and SHA-256 of a file, made durable first if asked to."""
    if flush:
        files.flush(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size": file.tell(), "sha256": digest}
