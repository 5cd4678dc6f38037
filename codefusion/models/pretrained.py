"""Encoder weights from a local safetensors copy of a T5 checkpoint.

The encoder has T5's form (`encoder.py`), so the encoder of CodeT5-small (Wang et al.
2021) loads into it one tensor for one parameter. Only safetensors is read: a pickle
(`pytorch_model.bin`) can run code when it is opened. Nothing is downloaded.

T5 stores a matrix as [out, in] and flax as [in, out], so matrices are transposed; the
embedding and the position bias are tables of rows in both.
"""

import json
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors
from flax import traverse_util

# One table under several names; a tied file may hold any of them. `lm_head.weight` is
# the embedding only where it is tied, so it counts only in the absence of the others.
_EMBEDDING_NAMES = (
    "shared.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
)
_TIED_HEAD = "lm_head.weight"
_POSITION_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
_ONCE = {
    ("position_bias",): _POSITION_BIAS,
    ("norm", "scale"): "encoder.final_layer_norm.weight",
}
_BY_LAYER = {
    ("attention_norm", "scale"): "layer.0.layer_norm.weight",
    ("query", "kernel"): "layer.0.SelfAttention.q.weight",
    ("key", "kernel"): "layer.0.SelfAttention.k.weight",
    ("value", "kernel"): "layer.0.SelfAttention.v.weight",
    ("out", "kernel"): "layer.0.SelfAttention.o.weight",
    ("feed_forward_norm", "scale"): "layer.1.layer_norm.weight",
    ("in", "kernel"): "layer.1.DenseReluDense.wi.weight",
    ("mlp_out", "kernel"): "layer.1.DenseReluDense.wo.weight",
}
# What a shape cannot tell: these keys of config.json must have T5's first values.
_FORM = {
    "feed_forward_proj": "relu",
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
}
_FLOATS = ("F64", "F32", "F16", "BF16")
_LISTED = 10


class _Tensor(NamedTuple):
    """Where a tensor lies: its file, its dtype as safetensors calls it, its shape."""

    file: pathlib.Path
    dtype: str
    shape: tuple


def load_encoder(path, params):
    """Returns the parameters with the encoder's replaced by those of a T5 checkpoint.

    Args:
      path: a safetensors file, or a folder that holds one or more; a `config.json` in
        the folder must describe T5's form.
      params: the parameter tree of `CodeFusion`; it is not changed.

    Returns:
      A new tree of the same shapes and dtypes; parts other than the encoder are the
      same arrays as in `params`.

    Raises:
      ValueError: in one line, what in the files does not fit.
    """
    path = pathlib.Path(path)
    tensors = _index(path)
    expected = traverse_util.flatten_dict(params["encoder"])
    names = {key: _tensor_name(key) for key in expected}
    names[("embedding",)] = _embedding_name(path, tensors)
    _check_names(path, tensors, set(names.values()))
    _check_shapes(path, tensors, names, expected)
    loaded = {
        key: jnp.asarray(_oriented(key, _read(tensors, name)), expected[key].dtype)
        for key, name in names.items()
    }
    return {**params, "encoder": traverse_util.unflatten_dict(loaded)}


def _tensor_name(key):
    """Returns the checkpoint's name of a parameter other than the embedding."""
    layer, *rest = key
    if not layer.startswith("layer_"):
        return _ONCE.get(key)
    return f"encoder.block.{layer.removeprefix('layer_')}.{_BY_LAYER[tuple(rest)]}"


def _oriented(key, value):
    return value.T if key[-1] == "kernel" else value


def _index(path):
    """Returns a `_Tensor` by name, of every tensor in the file or folder."""
    tensors = {}
    for file in _files(path):
        for name, entry in _header(file).items():
            if name in tensors:
                raise ValueError(
                    f"{path}: {name} is in both {tensors[name].file.name} and "
                    f"{file.name}; expected one file or disjoint parts of one."
                )
            tensors[name] = entry
    return tensors


def _files(path):
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ValueError(
                f"{path}: expected a .safetensors file; pickle is not read."
            )
        return [path]
    if not path.is_dir():
        raise ValueError(f"{path}: no such file or folder of encoder weights.")
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"{path}: no .safetensors file in the folder; pytorch_model.bin is a "
            "pickle and is not read (Salesforce/codet5-small has a safetensors copy on "
            "refs/pr/1)."
        )
    _check_form(path / "config.json")
    return files


def _check_form(file):
    """Refuses a config.json that describes another form of T5 than the encoder's."""
    if not file.exists():
        return
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: expected a JSON object.")
    for key, value in _FORM.items():
        if found.get(key, value) != value:
            raise ValueError(f"{file}: {key} is {found[key]!r}; expected {value!r}.")


def _header(file):
    """Returns a `_Tensor` by name, from a file whose header is sound."""
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
                name: _Tensor(file, part.get_dtype(), tuple(part.get_shape()))
                for name, part in parts.items()
            }
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(f"{file}: bad safetensors file: {error}") from None


def _distinct(pairs):
    """Returns a JSON object's dict; readers differ on which of two equal keys wins."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(f"the header has {_listed(twice)} more than once")
    return found


def _embedding_name(path, tensors):
    """Returns the name to read the embedding from; the aliases must agree."""
    found = [name for name in _EMBEDDING_NAMES if name in tensors]
    if not found:
        return _TIED_HEAD if _TIED_HEAD in tensors else _EMBEDDING_NAMES[0]
    first = _read(tensors, found[0])
    for other in found[1:]:
        if not np.array_equal(first, _read(tensors, other)):
            raise ValueError(
                f"{path}: {found[0]} and {other} differ; expected one shared embedding."
            )
    return found[0]


def _check_names(path, tensors, wanted):
    """Refuses missing tensors, and encoder tensors that nothing would read."""
    missing = sorted(wanted - set(tensors))
    known = wanted | set(_EMBEDDING_NAMES)
    extra = sorted(n for n in tensors if n.startswith("encoder.") and n not in known)
    problems = []
    if missing:
        problems.append(f"missing {_listed(missing)}")
    if extra:
        problems.append(f"unexpected {_listed(extra)}")
    if problems:
        raise ValueError(
            f"{path}: {'; '.join(problems)}. Expected a T5 encoder with ReLU and as "
            "many layers as model.encoder_layers."
        )


def _check_shapes(path, tensors, names, expected):
    """Refuses tensors of another shape than the parameter's, or that are no floats."""
    wrong = []
    for key, name in names.items():
        shape = _oriented(key, np.broadcast_to(0, expected[key].shape)).shape
        tensor = tensors[name]
        if tensor.shape != shape:
            wrong.append(f"{name} expected {shape}, got {tensor.shape}")
        elif tensor.dtype not in _FLOATS:
            wrong.append(f"{name} expected one of {_FLOATS}, got {tensor.dtype}")
    if wrong:
        raise ValueError(
            f"{path}: {_listed(wrong, '; ')}. Set the sizes in the config's model "
            "section, and the tokenizer's vocabulary, to those of the checkpoint."
        )


def _read(tensors, name):
    """Returns one tensor; values that are not finite are refused."""
    file = tensors[name].file
    with safetensors.safe_open(file, framework="np") as opened:
        value = opened.get_tensor(name)
    if not np.isfinite(value.astype(np.float32)).all():
        raise ValueError(f"{file}: {name} has values that are not finite.")
    return value


def _listed(items, separator=", "):
    """Returns the items in one line, the first few of many."""
    more = f"{separator}and {len(items) - _LISTED} more" * (len(items) > _LISTED)
    return separator.join(items[:_LISTED]) + more
