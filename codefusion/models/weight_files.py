"""Checkpoint files: tensors of safetensors with sound headers, and config.json.

Only safetensors is read: a pickle (`pytorch_model.bin`) can run code when it is opened.
What a file holds is known from its header, so names and shapes are checked before any
weight is read.
"""

import json
import pathlib
from typing import NamedTuple

import numpy as np
import safetensors

FLOATS = ("F64", "F32", "F16", "BF16")
_LISTED = 10


class Tensor(NamedTuple):
    """Where a tensor lies: its file, its dtype as safetensors calls it, its shape."""

    file: pathlib.Path
    dtype: str
    shape: tuple


def header(file):
    """Returns a `Tensor` by name, from a file whose header is sound.

    Args:
      file: the path of a safetensors file that exists.

    Returns:
      A dict from name to `Tensor`.

    Raises:
      ValueError: in one line, if the file is cut or no safetensors file.
    """
    with file.open("rb") as stream:
        stated = int.from_bytes(stream.read(8), "little")
        size = file.stat().st_size
        if stated > size - 8:
            raise ValueError(
                f"{file}: the header should end at byte {stated + 8}, but the file has "
                f"{size}: truncated, or not safetensors."
            )
        text = stream.read(stated)
    try:
        json.loads(text, object_pairs_hook=_distinct)
        with safetensors.safe_open(file, framework="np") as opened:
            parts = {name: opened.get_slice(name) for name in opened.keys()}
            return {
                name: Tensor(file, part.get_dtype(), tuple(part.get_shape()))
                for name, part in parts.items()
            }
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"{file}: bad safetensors file: {error}; copy it again from where it is "
            "whole."
        ) from None


def _distinct(pairs):
    """Returns a JSON object's dict; readers differ on which of two equal keys wins."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(f"the header has {listed(twice)} more than once")
    return found


def shape_faults(tensors, shapes):
    """Returns what is wrong with the shapes and dtypes of tensors, list of str.

    Args:
      tensors: a `Tensor` by name.
      shapes: the right shape by name, of tensors that are there.
    """
    faults = []
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            faults.append(f"{name} expected {shape}, got {tensor.shape}")
        elif tensor.dtype not in FLOATS:
            faults.append(f"{name} expected one of {FLOATS}, got {tensor.dtype}")
    return faults


def read(tensors, name):
    """Returns one tensor's array; values that are not finite are refused."""
    file = tensors[name].file
    with safetensors.safe_open(file, framework="np") as opened:
        value = opened.get_tensor(name)
    if not np.isfinite(value.astype(np.float32)).all():
        raise ValueError(f"{file}: {name} has values that are not finite.")
    return value


def read_json(file):
    """Returns the object of a JSON file such as config.json, dict."""
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: expected a JSON object.")
    return found


def listed(items, separator=", "):
    """Returns the items in one line, the first few of many."""
    more = f"{separator}and {len(items) - _LISTED} more" * (len(items) > _LISTED)
    return separator.join(items[:_LISTED]) + more
