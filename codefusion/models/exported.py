"""Parameters as one safetensors file that says what it holds and proves it whole.

A tensor is called by its path in the parameter tree, "denoiser.stack.layer_0...". The
header's metadata has the training step, the tokenizer that belongs to the parameters
and a SHA-256 over names, shapes and numbers, because the format has no checksum.
"""

import hashlib

import jax
import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from codefusion import files, trees
from codefusion.models import weight_files

FILE = "model.safetensors"


def write(folder, params, *, step, tokenizer_hash):
    """Writes a parameter tree to model.safetensors.

    Args:
      folder: a pathlib.Path.
      params: a tree of arrays.
      step: the training step they are of, int.
      tokenizer_hash: content hash of the tokenizer that they were trained with.
    """
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in named(params).items()}
    metadata = {
        "format": "codefusion",
        "step": str(int(step)),
        "tokenizer_sha256": tokenizer_hash,
        "sha256": digest(tensors),
    }
    content = safetensors_numpy.save(tensors, metadata=metadata)
    files.write_whole(folder / FILE, content)


def read(folder, like, *, tokenizer_hash):
    """Returns (parameter tree, training step) of a folder with model.safetensors.

    The leaves have the dtypes of `like`, whatever those of the file.

    Args:
      folder: a pathlib.Path.
      like: the tree that the model needs, of `jax.ShapeDtypeStruct`.
      tokenizer_hash: content hash of the tokenizer beside it.

    Raises:
      ValueError: the file is damaged, of another model, or of another tokenizer.
    """
    file = folder / FILE
    tensors = weight_files.header(file)
    wanted = named(like)
    _check_tensors(file, tensors, wanted)
    with safetensors.safe_open(file, framework="np") as opened:
        metadata = opened.metadata() or {}
        arrays = {name: opened.get_tensor(name) for name in wanted}
    _check_metadata(file, metadata, arrays, tokenizer_hash)
    leaves = [jax.numpy.asarray(arrays[k], leaf.dtype) for k, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), int(metadata["step"])


def named(tree):
    """Returns the leaves of a tree by path with dots between the names, dict."""
    return trees.named_leaves(tree, ".")


def digest(tensors):
    """Returns the SHA-256 over names, dtypes, shapes and bytes, in hexadecimal.

    Args:
      tensors: dict, name -> array of numpy.
    """
    found = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        found.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        found.update(np.ascontiguousarray(array).data.cast("B"))
    return found.hexdigest()


def _check_tensors(file, tensors, wanted):
    for problem, names in (
        ("lacks", wanted.keys() - tensors.keys()),
        ("has, and this model has not,", tensors.keys() - wanted.keys()),
    ):
        if names:
            listed = weight_files.listed(sorted(names), ", ")
            raise ValueError(
                f"{file} {problem} {listed}; put config.json and {FILE} of one export "
                "together."
            )
    shapes = {name: tuple(leaf.shape) for name, leaf in wanted.items()}
    if faults := weight_files.shape_faults(tensors, shapes):
        raise ValueError(f"{file}: {weight_files.listed(faults, '; ')}.")


def _check_metadata(file, metadata, arrays, tokenizer_hash):
    if metadata.get("sha256") != digest(arrays) or not metadata["step"].isdecimal():
        raise ValueError(
            f"{file} is not as it was written: its SHA-256 differs from the recorded "
            "one. Export it again, or copy it again from where it is whole."
        )
    if metadata["tokenizer_sha256"] != tokenizer_hash:
        raise ValueError(
            f"{file} was trained with the tokenizer "
            f"{metadata['tokenizer_sha256'][:12]}, but tokenizer.model beside it is "
            f"{tokenizer_hash[:12]}; put the right file back."
        )
