"""Token embeddings for CodeBERTScore, from a local checkpoint of RoBERTa's form.

CodeBERTScore (Zhou et al. 2023, arXiv 2302.05527) compares the hidden states of one
layer of a CodeBERT. What its reference implementation does (neulab/code-bert-score,
read at its newest version), and this module after it:

- The layer was chosen per model: 11 of 12 for neulab/codebert-python, 10 for
  microsoft/codebert-base-mlm, -javascript, -c and -cpp, 7 for -java. Later layers are
  never run.
- White space around the text is cut, and <s> and </s> enclose it.
- Tokens of nothing but white space and punctuation other than + - * / & | ~ are seen
  by the encoder and left out of the comparison.
- All tokens weigh the same unless a table of inverse document frequencies is given;
  none is used here. Nor is the utterance put before the code, which is an option there.

Two departures. There <s> and </s> weigh nothing in the mean, yet a token of the other
text may have one of them as its nearest; here they have no row. There a text longer
than the positions is encoded in overlapping windows; here it is cut.

The encoder (Liu et al. 2019) normalises after each residual sum, and the positions of
its learned table begin after the padding id. Weights keep their file's [out, in]
layout. Files are local and pickles are not read.
"""

import functools
import pathlib
import string
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from codefusion.models import weight_files

LAYER = 11
_SHORTEST_BUCKET = 32
_REMEMBERED = 256  # A reference is compared with every candidate of its row.
_DROPPED = frozenset(string.punctuation) - frozenset("+-*/&|~")
_SPACES = "\u0120\u010a\u0109"  # space, newline and tab in the byte-level alphabet

# What RoBERTa's config.json must say, and may leave out.
_FORM = {"hidden_act": "gelu", "position_embedding_type": "absolute"}
_SIZES = {
    "vocab_size": "vocab_size",
    "width": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "mlp_width": "intermediate_size",
    "num_positions": "max_position_embeddings",
}
_TABLES = {
    "words": "word_embeddings.weight",
    "positions": "position_embeddings.weight",
    "types": "token_type_embeddings.weight",
    "norm_scale": "LayerNorm.weight",
    "norm_bias": "LayerNorm.bias",
}
_MODULES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "mlp_in": "intermediate.dense",
    "mlp_out": "output.dense",
    "mlp_norm": "output.LayerNorm",
}


class Form(NamedTuple):
    """The sizes and constants of an encoder, from its config.json."""

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    mlp_width: int
    num_positions: int
    epsilon: float
    pad_id: int

    @property
    def max_tokens(self):
        """Returns how many tokens fit, <s> and </s> among them, int."""
        return self.num_positions - self.pad_id - 1


def load(folder, *, layer=LAYER, keep_punctuation=False):
    """Returns a function from a text to its token embeddings.

    Args:
      folder: holds config.json, model.safetensors, and tokenizer.json or both of
        vocab.json and merges.txt.
      layer: the layer whose hidden states are compared, 1 for the first.
      keep_punctuation: whether tokens of punctuation alone have rows as well.

    Returns:
      `embed`, str -> float32[T, D] with a row for each token that is compared, none
      for a text without such tokens. Its arrays are read-only.

    Raises:
      ValueError: in one line, what in the folder does not fit.
    """
    folder = pathlib.Path(folder)
    form = _form(_existing(folder, "config.json"))
    if not 1 <= layer <= form.num_layers:
        raise ValueError(
            f"{folder}: layer {layer} is asked for; expected 1 to {form.num_layers}, "
            "the num_hidden_layers of config.json."
        )
    tokenizer = _tokenizer(folder, form)
    params = _params(_existing(folder, "model.safetensors"), form, layer)
    first, last = (tokenizer.token_to_id(token) for token in ("<s>", "</s>"))

    @functools.lru_cache(maxsize=_REMEMBERED)
    def embed(text):
        encoding = tokenizer.encode(_valid(text.strip()), add_special_tokens=False)
        ids = encoding.ids[: form.max_tokens - 2]
        kept = [
            keep_punctuation or not _is_bare(t) for t in encoding.tokens[: len(ids)]
        ]
        states = _padded_encode(params, [first, *ids, last], form)
        rows = states[1 : len(ids) + 1][np.array(kept, bool)]
        rows.setflags(write=False)
        return rows

    return embed


def _valid(text):
    """Returns the text with U+FFFD for lone surrogates, which have no bytes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_bare(token):
    """Returns whether a token is nothing but white space and punctuation."""
    return set(token.strip(_SPACES)) <= _DROPPED


def bucket(length, max_tokens):
    """Returns the padded length of a text: a power of two, or the most that fit.

    Each length compiles once, so that there are few of them.

    Args:
      length: the number of tokens, int.
      max_tokens: the most tokens that fit, int.
    """
    return min(max_tokens, max(_SHORTEST_BUCKET, 1 << (length - 1).bit_length()))


def _padded_encode(params, ids, form):
    padded = np.full(bucket(len(ids), form.max_tokens), form.pad_id, np.int32)
    padded[: len(ids)] = ids
    return np.asarray(encode(params, padded, len(ids), form=form))


@functools.partial(jax.jit, static_argnames="form")
def encode(params, ids, length, *, form):
    """Returns the hidden states of one text after the last layer that is loaded.

    Args:
      params: tables, and layers stacked along their first axis; see `_params`.
      ids: tokens, then padding of any kind, int32[T].
      length: the number of tokens without padding, int32[].
      form: the encoder's `Form`.

    Returns:
      float32[T, D]; the rows of padding mean nothing.
    """
    places = jnp.arange(ids.shape[0])
    mask = places < length

    def step(x, layer):
        x = _norm(x + _attend(layer, x, mask, form.num_heads), layer["attention_norm"])
        hidden = jax.nn.gelu(_dense(x, layer["mlp_in"]), approximate=False)
        return _norm(x + _dense(hidden, layer["mlp_out"]), layer["mlp_norm"]), None

    def _norm(x, weights):
        return _layer_norm(x, *weights, epsilon=form.epsilon)

    # A score must not depend on the device: some round a float32 product's operands.
    with jax.default_matmul_precision("highest"):
        x = params["words"][ids] + params["positions"][places + form.pad_id + 1]
        x = _norm(x + params["types"][:1], (params["norm_scale"], params["norm_bias"]))
        return jax.lax.scan(step, x, params["layers"])[0]


def _dense(x, weights):
    kernel, bias = weights
    return x @ kernel.T + bias[None]


def _layer_norm(x, scale, bias, *, epsilon):
    x = x - x.mean(-1, keepdims=True)
    variance = jnp.square(x).mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(variance + epsilon) * scale[None] + bias[None]


def _attend(layer, x, mask, num_heads):
    """Returns the attention of all tokens to those of the mask, float32[T, D]."""
    query, key, value = (
        _dense(x, layer[name]).reshape(x.shape[0], num_heads, -1)
        for name in ("query", "key", "value")
    )
    logits = jnp.einsum("tnh,snh->nts", query, key) / query.shape[-1] ** 0.5
    weights = jax.nn.softmax(jnp.where(mask[None, None], logits, -jnp.inf), axis=-1)
    mixed = jnp.einsum("nts,snh->tnh", weights, value)
    return _dense(mixed.reshape(x.shape), layer["out"])


def _existing(folder, name):
    """Returns the path of a file of the folder, which must be there."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected one with a checkpoint.")
    if (folder / name).is_file():
        return folder / name
    found = weight_files.listed(sorted(file.name for file in folder.iterdir()))
    hint = ""
    if name.endswith(".safetensors") and list(folder.glob("*.bin")):
        hint = (
            " A .bin file is a pickle and is not read; transformers' save_pretrained "
            "writes the same weights as model.safetensors."
        )
    raise ValueError(f"{folder}: no {name}; found {found or 'nothing'}.{hint}")


def _form(file):
    """Returns the `Form` in a config.json, which must describe RoBERTa's."""
    config = weight_files.read_json(file)
    expected = {"model_type": "roberta"}
    expected |= {key: value for key, value in _FORM.items() if key in config}
    for key, value in expected.items():
        if config.get(key) != value:
            raise ValueError(
                f"{file}: {key} is {config.get(key)!r}; expected {value!r}."
            )
    sizes = {name: _size(file, config, key) for name, key in _SIZES.items()}
    epsilon, pad_id = config.get("layer_norm_eps"), config.get("pad_token_id", 1)
    if type(epsilon) not in (int, float) or not 0 < epsilon < 1:
        raise ValueError(
            f"{file}: layer_norm_eps is {epsilon!r}; expected a number such as 1e-05."
        )
    if type(pad_id) is not int or not 0 <= pad_id < sizes["num_positions"] - 3:
        raise ValueError(
            f"{file}: pad_token_id is {pad_id!r}; expected a number at least 4 below "
            f"max_position_embeddings, {sizes['num_positions']}."
        )
    if sizes["width"] % sizes["num_heads"]:
        raise ValueError(
            f"{file}: hidden_size is {sizes['width']}; expected a multiple of "
            f"num_attention_heads, {sizes['num_heads']}."
        )
    return Form(**sizes, epsilon=float(epsilon), pad_id=pad_id)


def _size(file, config, key):
    value = config.get(key)
    if type(value) is not int or value < 1:
        raise ValueError(f"{file}: {key} is {value!r}; expected a number above 0.")
    return value


def _params(file, form, layer):
    """Returns the parameters of the first layers, a tree of float32 arrays.

    Each of `_MODULES` is a pair of weight and bias with the layers along the first
    axis. A checkpoint with a head on top has all its names below "roberta.".
    """
    tensors = weight_files.header(file)
    prefix = "roberta." * any(name.startswith("roberta.") for name in tensors)
    shapes = {prefix + name: shape for name, shape in _shapes(form, layer).items()}
    missing = [name for name in shapes if name not in tensors]
    if missing:
        raise ValueError(
            f"{file}: missing {weight_files.listed(missing)}. Expected the encoder of "
            f"RoBERTa with at least {layer} layers."
        )
    _check_shapes(file, tensors, shapes)

    def read(name):
        return weight_files.read(tensors, prefix + name).astype(np.float32)

    def stacked(module, part):
        return jnp.stack([read(f"{_at(i, module)}.{part}") for i in range(layer)])

    tables = {key: jnp.asarray(read(f"embeddings.{n}")) for key, n in _TABLES.items()}
    layers = {
        key: (stacked(module, "weight"), stacked(module, "bias"))
        for key, module in _MODULES.items()
    }
    return {**tables, "layers": layers}


def _check_shapes(file, tensors, shapes):
    types = next(name for name in shapes if name.endswith(_TABLES["types"]))
    found = tensors[types].shape
    if len(found) == 2 and found[0] >= 1:  # Only the first type is ever used.
        shapes = {**shapes, types: (found[0], shapes[types][1])}
    faults = weight_files.shape_faults(tensors, shapes)
    if faults:
        raise ValueError(
            f"{file}: {weight_files.listed(faults, '; ')}. Expected are the sizes that "
            "config.json states."
        )


def _shapes(form, layer):
    """Returns the shape by name of all tensors that are read."""
    width, mlp_width = form.width, form.mlp_width
    rows = {"words": form.vocab_size, "positions": form.num_positions, "types": 1}
    shapes = {
        f"embeddings.{name}": (rows[key], width) if key in rows else (width,)
        for key, name in _TABLES.items()
    }
    sizes = {key: (width, width) for key in ("query", "key", "value", "out")}
    sizes |= {"mlp_in": (mlp_width, width), "mlp_out": (width, mlp_width)}
    for i in range(layer):
        for key, module in _MODULES.items():
            shape = sizes.get(key, (width,))
            shapes[f"{_at(i, module)}.weight"] = shape
            shapes[f"{_at(i, module)}.bias"] = shape[:1]
    return shapes


def _at(i, module):
    return f"encoder.layer.{i}.{module}"


def _tokenizer(folder, form):
    """Returns the byte-level BPE tokenizer of the folder, checked against the form."""
    try:
        import tokenizers
    except ImportError:
        raise ValueError(
            "CodeBERTScore needs the library tokenizers: "
            "pip install 'codefusion[eval]'."
        ) from None
    whole = folder / "tokenizer.json"
    parts = [whole] if whole.is_file() else []
    parts = parts or [_existing(folder, name) for name in ("vocab.json", "merges.txt")]
    try:
        tokenizer = _read_tokenizer(tokenizers, parts)
    except Exception as error:  # The library raises Exception itself.
        names = " and ".join(str(file) for file in parts)
        reason = " ".join(str(error).split())
        raise ValueError(f"{names}: no tokenizer can be read: {reason}") from None
    _check_vocabulary(tokenizers, tokenizer, parts[0], form)
    tokenizer.encode_special_tokens = True  # A "<s>" in the text is three characters.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _read_tokenizer(tokenizers, files):
    if len(files) == 1:
        return tokenizers.Tokenizer.from_file(str(files[0]))
    model = tokenizers.models.BPE.from_file(*(str(file) for file in files))
    tokenizer = tokenizers.Tokenizer(model)
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
    return tokenizer


def _check_vocabulary(tokenizers, tokenizer, file, form):
    """Refuses a vocabulary that is not byte-level, or that the embedding lacks."""
    vocabulary = tokenizer.get_vocab()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    lacking = sorted({"<s>", "</s>", *alphabet} - set(vocabulary))
    if lacking:
        raise ValueError(
            f"{file}: the vocabulary lacks {weight_files.listed(lacking)}; expected a "
            "byte-level BPE with all 256 bytes, <s> and </s>."
        )
    if max(vocabulary.values()) >= form.vocab_size:
        raise ValueError(
            f"{file}: the largest id is {max(vocabulary.values())}; expected less than "
            f"the vocab_size of config.json, {form.vocab_size}."
        )
