"""Encoder weights: there and back again, and every way in which a file is wrong."""

import functools
import json
import re

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import traverse_util
from safetensors.numpy import save_file

from codefusion import models
from codefusion.models import encoder

VOCAB, WIDTH, HEADS, HEAD_WIDTH, MLP, LAYERS = 40, 24, 3, 4, 20, 2
INNER = HEADS * HEAD_WIDTH
BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
QUERY = "encoder.block.1.layer.0.SelfAttention.q.weight"
WI = "encoder.block.1.layer.1.DenseReluDense.wi.weight"
load = functools.partial(models.load_encoder, embedding=True)


def random_tensors(seed=0):
    """Returns encoder tensors under T5's names, in T5's [out, in] layout."""
    rng = np.random.default_rng(seed)
    shapes = {
        "shared.weight": (VOCAB, WIDTH),
        BIAS: (32, HEADS),
        "encoder.final_layer_norm.weight": (WIDTH,),
    }
    for i in range(LAYERS):
        attention = f"encoder.block.{i}.layer.0"
        feed_forward = f"encoder.block.{i}.layer.1"
        shapes |= {
            f"{attention}.layer_norm.weight": (WIDTH,),
            f"{attention}.SelfAttention.q.weight": (INNER, WIDTH),
            f"{attention}.SelfAttention.k.weight": (INNER, WIDTH),
            f"{attention}.SelfAttention.v.weight": (INNER, WIDTH),
            f"{attention}.SelfAttention.o.weight": (WIDTH, INNER),
            f"{feed_forward}.layer_norm.weight": (WIDTH,),
            f"{feed_forward}.DenseReluDense.wi.weight": (MLP, WIDTH),
            f"{feed_forward}.DenseReluDense.wo.weight": (WIDTH, MLP),
        }
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


@pytest.fixture(scope="module")
def params(drawn):
    """The parameter tree of a small CodeFusion."""
    model = models.CodeFusion(
        vocab_size=VOCAB,
        width=WIDTH,
        embedding_width=8,
        num_heads=HEADS,
        head_width=HEAD_WIDTH,
        mlp_width=MLP,
        encoder_layers=LAYERS,
        denoiser_layers=1,
        decoder_layers=1,
        max_source_length=6,
        max_target_length=6,
    )
    tokens = jnp.ones((1, 6), jnp.int32)
    return drawn(model, tokens, tokens > 0, tokens)["params"]


@pytest.fixture
def file(tmp_path):
    """The path that `save` writes to."""
    return tmp_path / "model.safetensors"


def one_line(error):
    """Asserts that an error is one line and returns it."""
    text = str(error.value)
    assert "\n" not in text
    return text


def test_every_encoder_parameter_comes_from_the_file_and_nothing_else_changes(
    file, params
):
    tensors = random_tensors()
    save_file(tensors, file)
    before = jax.tree.map(np.array, params)
    loaded = load(file, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(loaded, params)
    chex.assert_trees_all_equal(params, before)
    flat = traverse_util.flatten_dict(loaded["encoder"])
    sums = sorted(float(np.sum(np.abs(leaf))) for leaf in flat.values())
    stored = sorted(float(np.sum(np.abs(tensor))) for tensor in tensors.values())
    np.testing.assert_allclose(sums, stored, rtol=1e-5)
    rest = {name: part for name, part in loaded.items() if name != "encoder"}
    assert all(rest[name] is params[name] for name in params if name != "encoder")


def test_a_scanned_encoder_gets_the_same_layers_stacked(file, params):
    save_file(random_tensors(), file)
    expected = load(file, params)["encoder"]
    layers = [params["encoder"][f"layer_{i}"] for i in range(LAYERS)]
    rest = {k: v for k, v in params["encoder"].items() if not k.startswith("layer_")}
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
    scanned = {**params, "encoder": {**rest, "layers": {"layer": stacked}}}
    found = load(file, scanned)["encoder"]
    chex.assert_trees_all_equal_shapes_and_dtypes(found, scanned["encoder"])
    for i in range(LAYERS):
        layer = jax.tree.map(lambda leaf, i=i: leaf[i], found["layers"]["layer"])
        chex.assert_trees_all_equal(layer, expected[f"layer_{i}"])
    chex.assert_trees_all_equal(found["norm"], expected["norm"])


def test_matrices_are_transposed_and_tables_are_not(file, params):
    tensors = random_tensors()
    save_file(tensors, file)
    loaded = load(file, params)["encoder"]
    layer, stored = loaded["layer_1"], "encoder.block.1.layer."
    for name, letter in dict(query="q", key="k", value="v", out="o").items():
        matrix = tensors[f"{stored}0.SelfAttention.{letter}.weight"]
        np.testing.assert_array_equal(layer[name]["kernel"], matrix.T)
    np.testing.assert_array_equal(layer["in"]["kernel"], tensors[WI].T)
    for i, name in enumerate(("attention_norm", "feed_forward_norm")):
        scale = tensors[f"{stored}{i}.layer_norm.weight"]
        np.testing.assert_array_equal(layer[name]["scale"], scale)
    np.testing.assert_array_equal(loaded["embedding"], tensors["shared.weight"])
    np.testing.assert_array_equal(loaded["position_bias"], tensors[BIAS])


@pytest.mark.parametrize("rows", [None, 3, VOCAB])
def test_without_the_embedding_the_layers_alone_are_loaded(file, params, rows):
    """The file's table may then be absent, or of another tokenizer's vocabulary."""
    tensors = random_tensors()
    save_file(tensors, file)
    whole = load(file, params)["encoder"]
    del tensors["shared.weight"]
    if rows is not None:
        tensors["encoder.embed_tokens.weight"] = np.ones((rows, WIDTH), np.float32)
    save_file(tensors, file)
    layers = load(file, params, embedding=False)["encoder"]
    assert layers["embedding"] is params["encoder"]["embedding"]
    kept = {"embedding": params["encoder"]["embedding"]}
    chex.assert_trees_all_equal(layers, {**whole, **kept})


def test_without_the_embedding_every_layer_is_still_demanded(file, params):
    tensors = random_tensors()
    del tensors[QUERY]
    save_file(tensors, file)
    with pytest.raises(ValueError, match="missing " + re.escape(QUERY)):
        load(file, params, embedding=False)


@pytest.mark.parametrize(
    "alias",
    ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"],
)
def test_any_one_alias_of_the_embedding_does(file, params, alias):
    tensors = random_tensors()
    plain = dict(tensors)
    save_file(plain, file)
    expected = load(file, params)
    tensors[alias] = tensors.pop("shared.weight")
    save_file(tensors, file)
    chex.assert_trees_all_equal(load(file, params), expected)


def test_all_aliases_and_a_decoder_at_once_are_the_same_encoder(file, params):
    tensors = random_tensors()
    save_file(tensors, file)
    expected = load(file, params)
    table = tensors["shared.weight"]
    more = {
        "encoder.embed_tokens.weight": table.copy(),
        "decoder.embed_tokens.weight": table.copy(),
        "lm_head.weight": table + 1,  # an untied head is no embedding
        "decoder.block.0.layer.1.EncDecAttention.q.weight": np.ones((2, 2), "float32"),
        "decoder.final_layer_norm.weight": np.ones(3, "float32"),
    }
    save_file({**tensors, **more}, file)
    chex.assert_trees_all_equal(load(file, params), expected)


def test_aliases_that_disagree_are_refused(file, params):
    tensors = random_tensors()
    other = tensors["shared.weight"] + 1
    save_file({**tensors, "encoder.embed_tokens.weight": other}, file)
    with pytest.raises(ValueError, match="shared.weight and encoder.embed_tokens") as e:
        load(file, params)
    one_line(e)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_float_types_become_the_parameter_type(file, params, dtype):
    tensors = {name: t.astype(dtype) for name, t in random_tensors().items()}
    save_file(tensors, file)
    loaded = load(file, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(loaded, params)
    np.testing.assert_array_equal(
        loaded["encoder"]["position_bias"], tensors[BIAS].astype(np.float32)
    )


def test_a_folder_may_hold_one_file_or_disjoint_parts(tmp_path, params):
    tensors = random_tensors()
    names = sorted(tensors)
    for folder, parts in (("one", [names]), ("two", [names[:5], names[5:]])):
        (tmp_path / folder).mkdir()
        for i, part in enumerate(parts):
            chosen = {name: tensors[name] for name in part}
            save_file(chosen, tmp_path / folder / f"model-{i}.safetensors")
    one, two = (load(tmp_path / f, params) for f in ("one", "two"))
    chex.assert_trees_all_equal(one, two)
    save_file({BIAS: tensors[BIAS]}, tmp_path / "two" / "model-2.safetensors")
    with pytest.raises(ValueError, match=re.escape(BIAS) + " is in both"):
        load(tmp_path / "two", params)


def test_missing_tensors_are_named_together(file, params):
    tensors = random_tensors()
    del tensors[QUERY], tensors["shared.weight"]
    save_file(tensors, file)
    with pytest.raises(ValueError, match="missing") as e:
        load(file, params)
    assert f"missing {QUERY}, shared.weight." in one_line(e)


def test_a_gated_feed_forward_is_told_by_its_names(file, params):
    tensors = random_tensors()
    gate = tensors.pop(WI)
    first, second = WI.replace("wi", "wi_0"), WI.replace("wi", "wi_1")
    save_file({**tensors, first: gate, second: gate.copy()}, file)
    with pytest.raises(ValueError, match="missing") as e:
        load(file, params)
    assert f"missing {WI}; unexpected {first}, {second}." in one_line(e)


def test_more_layers_than_the_model_has_are_unexpected(file, params):
    tensors = random_tensors()
    deeper = {n.replace("block.1", "block.2"): t.copy() for n, t in tensors.items()}
    save_file({**deeper, **tensors}, file)
    with pytest.raises(ValueError, match=r"unexpected encoder\.block\.2\.") as e:
        load(file, params)
    assert "model.encoder_layers" in one_line(e)


def test_a_long_list_of_names_is_cut(file, params):
    save_file({"transformer.shared.weight": np.ones((2, 2), np.float32)}, file)
    with pytest.raises(ValueError, match="missing") as e:
        load(file, params)
    total = len(random_tensors())
    assert f"and {total - 10} more" in one_line(e)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("shared.weight", (VOCAB + 1, WIDTH), (VOCAB, WIDTH)),
        (WI, (WIDTH, MLP), (MLP, WIDTH)),
        (BIAS, (32, HEADS + 1), (32, HEADS)),
        ("encoder.final_layer_norm.weight", (WIDTH, 1), (WIDTH,)),
    ],
)
def test_a_wrong_shape_says_expected_and_got(file, params, name, shape, expected):
    save_file({**random_tensors(), name: np.ones(shape, np.float32)}, file)
    with pytest.raises(ValueError, match="expected") as e:
        load(file, params)
    text = one_line(e)
    assert f"{name} expected {expected}, got {shape}." in text
    assert "embedding=False" in text


def test_whole_numbers_are_no_weights(file, params):
    whole = np.ones((32, HEADS), np.int32)
    save_file({**random_tensors(), BIAS: whole}, file)
    with pytest.raises(ValueError, match="got I32"):
        load(file, params)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", [QUERY, "shared.weight"])
def test_a_value_that_is_not_finite_is_refused(file, params, name, bad):
    tensors = random_tensors()
    tensors[name][0, 0] = bad
    save_file(tensors, file)
    with pytest.raises(ValueError, match=re.escape(name) + " has values that are not"):
        load(file, params)


def test_a_pickle_is_never_opened(tmp_path, params):
    pickle = tmp_path / "pytorch_model.bin"
    pickle.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for path in (pickle, tmp_path):
        with pytest.raises(ValueError, match="pickle") as e:
            load(path, params)
        one_line(e)


def test_a_path_that_is_absent_is_named(tmp_path, params):
    with pytest.raises(ValueError, match="absent: no such file or folder"):
        load(tmp_path / "absent", params)


def test_another_form_of_t5_is_told_by_its_config(tmp_path, params):
    save_file(random_tensors(), tmp_path / "model.safetensors")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"feed_forward_proj": "relu", "d_model": WIDTH}))
    load(tmp_path, params)
    wrong = {
        "feed_forward_proj": "gated-gelu",
        "relative_attention_max_distance": 64,
        "layer_norm_epsilon": 1e-5,
    }
    for key, value in wrong.items():
        config.write_text(json.dumps({key: value}))
        with pytest.raises(ValueError, match=f"{key} is {value!r}; expected"):
            load(tmp_path, params)
    for text in ("[]", "{", "[" * 50_000):
        config.write_text(text)
        with pytest.raises(ValueError, match=re.escape(str(config))) as e:
            load(tmp_path, params)
        one_line(e)


@pytest.fixture(scope="module")
def oracle():
    """A small T5 encoder of another library, every weight away from its default."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=VOCAB,
        d_model=WIDTH,
        d_kv=HEAD_WIDTH,
        d_ff=MLP,
        num_layers=LAYERS,
        num_heads=HEADS,
    )
    t5 = transformers.T5EncoderModel(config).eval()
    with torch.no_grad():
        # Much larger and the softmax turns rounding into errors of 1e-5 on both sides.
        for weight in t5.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return t5


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("length", [1, 7, 150])
def test_the_encoder_equals_t5_needs_torch_and_transformers(
    tmp_path, params, oracle, length, jit
):
    import torch

    oracle.save_pretrained(tmp_path)
    loaded = load(tmp_path, params)["encoder"]
    rng = np.random.default_rng(length)
    source = rng.integers(0, VOCAB, (3, length))
    mask = np.arange(length) < np.array([[length], [length // 2 + 1], [1]])
    with torch.no_grad():
        expected = oracle(torch.tensor(source), torch.tensor(mask)).last_hidden_state
    ours = encoder.Encoder(VOCAB, WIDTH, LAYERS, HEADS, HEAD_WIDTH, MLP)
    apply = jax.jit(ours.apply) if jit else ours.apply
    context = apply({"params": loaded}, jnp.asarray(source, jnp.int32), mask)
    error = np.abs(np.asarray(context) - expected.numpy())
    print(f"largest error {error.max():.2e} of {expected.abs().max():.2f}")
    assert error.max() < 1e-5


@pytest.mark.parametrize("jit", [False, True])
def test_every_position_bucket_equals_t5_needs_torch_and_transformers(oracle, jit):
    import torch

    length = 600
    function = oracle.encoder.block[0].layer[0].SelfAttention._relative_position_bucket
    position = torch.arange(length)
    expected = function(position[None] - position[:, None])
    buckets = encoder.position_buckets
    ours = (jax.jit(buckets, static_argnums=0) if jit else buckets)(length)
    np.testing.assert_array_equal(ours, expected.numpy())
