"""What a predictions file tells of its model beyond config and commit: size and cost.

What may be unknown is left out then.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform

import jax

import codefusion
import pallas_kernels
from codefusion import workdirs
from codefusion.models import exported

_TIME = "goodput.json"
_NOT_TRAINING = {"evaluation"}  # amid training, for its curve


def facts(model, workdir):
    """Returns the optional fields of a header, dict; see `predict.OPTIONAL_FIELDS`.

    Args:
      model: the Generator.
      workdir: the folder that it was read from.
    """
    found = {
        "parameters": parameters(model),
        "training_seconds": training_seconds(workdir, model),
        "hardware": hardware(),
    }
    return {key: value for key, value in found.items() if value is not None}


def program(model):
    """Returns the SHA-256 of what computes a model's answers, in hexadecimal.

    That is our code as it was imported, the libraries below it, the parameters and the
    programs that the model reads: a commit says neither what was changed since nor
    which weights a work directory holds.

    Args:
      model: the Generator.
    """
    tensors = exported.named(jax.device_get(model.params))
    digest = hashlib.sha256(f"{_CODE} {exported.digest(tensors)}\n".encode())
    if model.retrieval:
        digest.update(model.retrieval.neighbors.to_bytes())
    return digest.hexdigest()


def _code():
    """Returns the SHA-256 of our packages and of the versions below, in hexadecimal."""
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")]
    digest = hashlib.sha256(" ".join(versions).encode())
    for package in (codefusion, pallas_kernels):
        folder = pathlib.Path(package.__file__).parent
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"\n{file.relative_to(folder)}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


# Once, so that a file that is changed while a model trains does not count.
_CODE = _code()


def parameters(model):
    """Returns how many numbers a model has, embeddings and heads included, int.

    Args:
      model: the Generator.
    """
    return sum(leaf.size for leaf in jax.tree.leaves(model.params))


def training_seconds(workdir, model):
    """Returns how long the processes of a run ran, less its evaluations, float.

    Starts, compilation, saves and lost work are counted, the time between two starts is
    not.

    Args:
      workdir: the work directory.
      model: the Generator of one of its checkpoints.

    Returns:
      Seconds; None where they are not known, or the run went on after the checkpoint.
    """
    if model.step != workdirs.last_step(model.config):
        return None
    try:
        text = pathlib.Path(workdir, _TIME).read_text(encoding="utf-8")
        seconds = json.loads(text)["seconds"]
        return float(sum(seconds[key] for key in seconds.keys() - _NOT_TRAINING))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def hardware():
    """Returns the devices of this machine, or its processor and usable cores, str."""
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    # Which cores a process may use is not known on every system.
    usable = getattr(os, "sched_getaffinity", None)
    return f"{len(usable(0)) if usable else os.cpu_count()} x {_processor()}"


def _processor():
    """Returns the name of the processor, str; on Linux that of the model."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return next(iter(names), "").strip() or platform.machine()
