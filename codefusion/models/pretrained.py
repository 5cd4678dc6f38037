"""Encoder weights from a local safetensors copy of a T5 checkpoint.

The encoder has T5's form (`encoder.py`), so the encoder of CodeT5-small (Wang et al.
2021) loads into it one tensor for one parameter. Only safetensors is read: a pickle
(`pytorch_model.bin`) can run code when it is opened. Nothing is downloaded.

T5 stores a matrix as [out, in] and flax as [in, out], so matrices are transposed; the
embedding and the position bias are tables of rows in both.

A row of the embedding is the token that the checkpoint's tokenizer gave that number.
Under another tokenizer, such as one trained by `data.tokenizer`, the same number is
another token, and the loaded rows would mean nothing though every shape fits. The
layers read vectors and not numbers, so they may be loaded without the table.
"""

import pathlib

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from codefusion.models import weight_files

# One table under several names; a tied file may hold any of them. `lm_head.weight` is
# the embedding only where it is tied, so it counts only in the absence of the others.
_EMBEDDING_NAMES = (
    "shared.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
)
_EMBEDDING = ("embedding",)
_TIED_HEAD = "lm_head.weight"
_SCANNED = ("layers", "layer")  # where `nn.scan` keeps the layers, stacked
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


def load_encoder(path, params, *, embedding: bool):
    """Returns the parameters with the encoder's replaced by those of a T5 checkpoint.

    Args:
      path: a safetensors file, or a folder that holds one or more; a `config.json` in
        the folder must describe T5's form.
      params: the parameter tree of `CodeFusion`; it is not changed.
      embedding: True loads the token embedding too, and is right only where source ids
        are those of the checkpoint's own tokenizer; False leaves the table of `params`
        as it is, of any vocabulary, and reads none from the file.

    Returns:
      A new tree of the same shapes and dtypes; what is not loaded is the same
      array as in `params`.

    Raises:
      ValueError: in one line, what in the files does not fit.
    """
    path = pathlib.Path(path)
    tensors = _index(path)
    given = traverse_util.flatten_dict(params["encoder"])
    expected = _unstacked(given)
    names = {key: _tensor_name(key) for key in expected if key != _EMBEDDING}
    if embedding:
        names[_EMBEDDING] = _embedding_name(path, tensors)
    _check_names(path, tensors, set(names.values()))
    _check_shapes(path, tensors, names, expected)
    loaded = {
        key: jnp.asarray(
            _oriented(key, weight_files.read(tensors, name)), expected[key].dtype
        )
        for key, name in names.items()
    }
    found = {**expected, **loaded}
    if expected.keys() != given.keys():
        found = _stacked(found, given)
    return {**params, "encoder": traverse_util.unflatten_dict(found)}


def _unstacked(encoder):
    """Returns the flat parameters with the layers of a scanned encoder one by one."""
    found = {}
    for key, value in encoder.items():
        if key[:2] != _SCANNED:
            found[key] = value
            continue
        for i, layer in enumerate(value):
            found[f"layer_{i}", *key[2:]] = layer
    return found


def _stacked(encoder, given):
    """Returns the flat parameters under the keys of `given`, its layers stacked."""
    found = {}
    for key, value in given.items():
        if key[:2] == _SCANNED:
            rows = [encoder[f"layer_{i}", *key[2:]] for i in range(len(value))]
            found[key] = jnp.stack(rows)
        else:
            found[key] = encoder[key]
    return found


def _tensor_name(key):
    """Returns the checkpoint's name of a parameter other than the embedding."""
    layer, *rest = key
    if not layer.startswith("layer_"):
        return _ONCE.get(key)
    return f"encoder.block.{layer.removeprefix('layer_')}.{_BY_LAYER[tuple(rest)]}"


def _oriented(key, value):
    return value.T if key[-1] == "kernel" else value


def _index(path):
    """Returns a `Tensor` by name, of every tensor in the file or folder."""
    tensors = {}
    for file in _files(path):
        for name, entry in weight_files.header(file).items():
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
    found = weight_files.read_json(file)
    for key, value in _FORM.items():
        if found.get(key, value) != value:
            raise ValueError(f"{file}: {key} is {found[key]!r}; expected {value!r}.")


def _embedding_name(path, tensors):
    """Returns the name to read the embedding from; the aliases must agree."""
    found = [name for name in _EMBEDDING_NAMES if name in tensors]
    if not found:
        return _TIED_HEAD if _TIED_HEAD in tensors else _EMBEDDING_NAMES[0]
    first = weight_files.read(tensors, found[0])
    for other in found[1:]:
        if not np.array_equal(first, weight_files.read(tensors, other)):
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
        problems.append(f"missing {weight_files.listed(missing)}")
    if extra:
        problems.append(f"unexpected {weight_files.listed(extra)}")
    if problems:
        raise ValueError(
            f"{path}: {'; '.join(problems)}. Expected a T5 encoder with ReLU and as "
            "many layers as model.encoder_layers."
        )


def _check_shapes(path, tensors, names, expected):
    """Refuses tensors of another shape than the parameter's, or that are no floats."""
    shapes = {
        name: _oriented(key, np.broadcast_to(0, expected[key].shape)).shape
        for key, name in names.items()
    }
    wrong = weight_files.shape_faults(tensors, shapes)
    if wrong:
        raise ValueError(
            f"{path}: {weight_files.listed(wrong, '; ')}. Set the sizes in the model "
            "section of the config to those of the checkpoint; with a vocabulary other "
            "than that of its tokenizer, load with embedding=False."
        )
