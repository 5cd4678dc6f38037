"""Token embeddings of a RoBERTa: known cases, padding, and every wrong folder."""

import json
import math
import re
import string
import sys

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import save_file

from codefusion.data.rows import Example
from codefusion.evaluation import codebert
from codefusion.evaluation.metrics import METRICS

WIDTH, HEADS, MLP, LAYERS, POSITIONS, PAD = 24, 3, 40, 2, 80, 1
MERGES = [("Ġ", "x"), ("i", "n"), ("in", "t"), ("i", "f"), ("(", ")"), ("Ġ", "=")]
MERGED = [left + right for left, right in MERGES]
ALPHABET = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
TOKENS = ["<s>", "<pad>", "</s>", "<unk>", *ALPHABET, *MERGED, "<mask>"]
VOCAB = len(TOKENS)
CONFIG = {
    "model_type": "roberta",
    "hidden_act": "gelu",
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": MLP,
    "max_position_embeddings": POSITIONS,
    "layer_norm_eps": 1e-5,
    "pad_token_id": PAD,
}
QUERY = "encoder.layer.1.attention.self.query.weight"
SELF = ("query", "key", "value")
NORM_BIAS = "embeddings.LayerNorm.bias"
CODE = "if x = int():\n    int x"


def shapes():
    """Returns the shape by name of every tensor of a small encoder, [out, in]."""
    found = {
        "embeddings.word_embeddings.weight": (VOCAB, WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": (1, WIDTH),
        "embeddings.LayerNorm": (WIDTH,),
    }
    for i in range(LAYERS):
        at = f"encoder.layer.{i}"
        found |= {f"{at}.attention.self.{n}": 2 * (WIDTH,) for n in SELF}
        found |= {
            f"{at}.attention.output.dense": (WIDTH, WIDTH),
            f"{at}.attention.output.LayerNorm": (WIDTH,),
            f"{at}.intermediate.dense": (MLP, WIDTH),
            f"{at}.output.dense": (WIDTH, MLP),
            f"{at}.output.LayerNorm": (WIDTH,),
        }
    tables = {name: s for name, s in found.items() if name.endswith("weight")}
    modules = {name: s for name, s in found.items() if name not in tables}
    weights = {f"{name}.weight": shape for name, shape in modules.items()}
    return tables | weights | {f"{n}.bias": s[:1] for n, s in modules.items()}


def random_tensors(seed=0):
    """Returns small random tensors, the norms' scales near 1."""
    rng = np.random.default_rng(seed)
    draws = {n: rng.normal(0, 0.3, s).astype(np.float32) for n, s in shapes().items()}
    norms = [name for name in draws if name.endswith("LayerNorm.weight")]
    return draws | {name: 1 + draws[name] for name in norms}


def plain_tensors():
    """Returns tensors whose layers only normalise: scales 1, all else but tables 0."""
    tables = {n: t for n, t in random_tensors().items() if n.startswith("embeddings")}
    zeros = {n: np.zeros(s, np.float32) for n, s in shapes().items()}
    ones = {n: np.ones_like(t) for n, t in zeros.items() if n.endswith("Norm.weight")}
    return zeros | tables | ones | {NORM_BIAS: zeros[NORM_BIAS]}


def write(folder, tensors, **changes):
    """Writes a whole folder; a key of the config that is None is left out."""
    folder.mkdir(exist_ok=True)
    config = {k: v for k, v in (CONFIG | changes).items() if v is not None}
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {token: i for i, token in enumerate(TOKENS)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in MERGES), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with random weights, not to be changed."""
    return write(tmp_path_factory.mktemp("codebert") / "whole", random_tensors())


@pytest.fixture
def folder(tmp_path):
    """A folder with random weights, to be broken."""
    return write(tmp_path / "broken", random_tensors())


def load(folder, **changes):
    """Returns the embedding function of the small encoder's last layer."""
    return codebert.load(folder, **{"layer": LAYERS, **changes})


def refused(folder, match, **changes):
    """Asserts that a folder is refused in one line, and returns the line."""
    with pytest.raises(ValueError, match=match) as error:
        load(folder, **changes)
    text = str(error.value)
    assert "\n" not in text and str(folder) in text
    return text


def normalised(rows):
    """Returns rows of mean 0 and variance 1 (the norm's epsilon counted)."""
    rows = rows - rows.mean(-1, keepdims=True)
    return rows / np.sqrt(np.square(rows).mean(-1, keepdims=True) + 1e-5)


def first_norm(tensors, tokens):
    """Returns the rows that enter the first layer for <s> + tokens + </s>."""
    ids = [TOKENS.index(token) for token in ("<s>", *tokens, "</s>")]
    words, positions, types = (
        tensors[f"embeddings.{name}_embeddings.weight"]
        for name in ("word", "position", "token_type")
    )
    rows = normalised(words[ids] + positions[PAD + 1 :][: len(ids)] + types[:1])
    return rows * tensors["embeddings.LayerNorm.weight"]


def test_white_space_and_punctuation_but_operators_have_no_rows(whole):
    every = load(whole, keep_punctuation=True)
    np.testing.assert_array_equal(load(whole)("a+b"), every("a+b"))
    text = "if x = int():\n\t int"  # if, Ġx, Ġ=, Ġ, int, (), :, Ċ, ĉ, Ġ, int
    kept = np.array([0, 1, 4, 10])
    assert len(every(text)) == 11
    np.testing.assert_array_equal(load(whole)(text), every(text)[kept])
    for mark in string.punctuation:
        assert len(load(whole)(mark)) == (mark in "+-*/&|~"), mark


def test_left_out_tokens_are_seen_by_the_encoder(whole):
    embed = load(whole)
    assert embed("int()x").shape == embed("int x").shape == (2, WIDTH)
    assert np.abs(embed("int()x") - embed("int.x")).max() > 1e-3


def test_a_text_without_tokens_has_no_rows_and_scores_nothing(whole):
    embed = load(whole)
    for text in ("", " \n\t", "():", "...", "[]"):
        assert embed(text).shape == (0, WIDTH)
    metric, row = METRICS["codebert_score"](embed=embed), Example("1", "", CODE)
    assert metric.score("()", row) == 0.0
    assert metric.score(CODE, row) == pytest.approx(1.0)
    assert 0.0 < metric.score("x + 1", row) < 0.999


def test_outer_white_space_is_cut_and_rows_are_read_only_floats(whole):
    embed = load(whole)
    np.testing.assert_array_equal(embed(f" \n{CODE}\n\n"), embed(CODE))
    assert embed(CODE).dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        embed(CODE)[0] = 0


def test_layers_that_only_normalise_give_normalised_sums_of_the_tables(tmp_path):
    tensors = plain_tensors()
    embed = load(write(tmp_path, tensors))
    expected = normalised(first_norm(tensors, ["in", "Ġx"]))
    np.testing.assert_allclose(embed("in x"), expected[1:-1], atol=1e-4)


@pytest.mark.parametrize("query", [0.0, 1.0])
def test_attention_is_a_softmax_over_all_tokens_head_by_head(tmp_path, query):
    tensors, at = plain_tensors(), "encoder.layer.0.attention"
    for name in ("self.key", "self.value", "output.dense"):
        tensors[f"{at}.{name}.weight"] = np.eye(WIDTH, dtype=np.float32)
    tensors[f"{at}.self.query.bias"] += query
    embed = load(write(tmp_path, tensors), layer=1)
    rows = first_norm(tensors, ["in", "Ġx"])
    heads = rows.reshape(4, HEADS, -1)
    weights = np.exp(query * heads.sum(-1, keepdims=True) / math.sqrt(WIDTH / HEADS))
    mixed = (weights * heads).sum(0) / weights.sum(0)  # query 0: the mean
    expected = normalised(rows + mixed.reshape(1, WIDTH))
    np.testing.assert_allclose(embed("in x"), expected[1:-1], atol=1e-4)


def test_the_gelu_is_the_exact_one(tmp_path):
    tensors = plain_tensors()
    both = np.zeros((MLP, WIDTH), np.float32)
    both[:WIDTH] = np.eye(WIDTH)
    tensors["encoder.layer.0.intermediate.dense.weight"] = both
    tensors["encoder.layer.0.output.dense.weight"] = np.ascontiguousarray(9 * both.T)
    embed = load(write(tmp_path, tensors), layer=1)
    rows = normalised(first_norm(tensors, ["in"]))
    gelu = rows * (1 + np.vectorize(math.erf)(rows / math.sqrt(2))) / 2
    np.testing.assert_allclose(
        embed("in"), normalised(rows + 9 * gelu)[1:-1], atol=2e-5
    )


def test_without_positions_the_rows_follow_their_tokens(tmp_path):
    tensors = random_tensors()
    with_positions = load(write(tmp_path / "with", tensors))
    tensors["embeddings.position_embeddings.weight"][:] = 0
    without = load(write(tmp_path / "without", tensors))
    np.testing.assert_allclose(without("ab"), without("ba")[::-1], atol=1e-5)
    assert np.abs(with_positions("ab") - with_positions("ba")[::-1]).max() > 1e-2


def test_padding_changes_nothing_whatever_its_tokens(whole):
    form = codebert._form(whole / "config.json")
    params = codebert._params(whole / "model.safetensors", form, LAYERS)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, VOCAB, 20)
    alone = codebert.encode(params, ids, 20, form=form)
    for length in (21, 32, form.max_tokens):
        padded = rng.integers(0, VOCAB, length)
        padded[:20] = ids
        states = codebert.encode(params, padded, 20, form=form)
        np.testing.assert_allclose(states[:20], alone, atol=2e-6)


def test_few_lengths_are_compiled(whole):
    lengths = {codebert.bucket(n, 512) for n in range(2, 513)}
    assert lengths == {32, 64, 128, 256, 512}
    assert all(codebert.bucket(n, 78) >= n for n in range(2, 79))
    assert codebert.bucket(65, 78) == codebert.bucket(78, 78) == 78
    codebert.encode.clear_cache()
    embed = load(whole)
    for n in range(1, 120):
        assert len(embed("a" * n)) == min(n, POSITIONS - PAD - 1 - 2)
    assert codebert.encode._cache_size() == 3


def test_a_long_text_is_cut(whole):
    embed = load(whole)
    np.testing.assert_array_equal(embed("ab" * 38 + "b"), embed("ab" * 38 + "bcd"))


def test_the_layer_is_an_argument_and_later_ones_need_not_be_there(whole, tmp_path):
    tensors = {n: t for n, t in random_tensors().items() if "layer.1" not in n}
    cut = write(tmp_path / "cut", tensors)
    first = load(cut, layer=1)(CODE)
    np.testing.assert_array_equal(first, load(whole, layer=1)(CODE))
    assert np.abs(first - load(whole)(CODE)).max() > 1e-2
    assert "missing encoder.layer.1." in refused(cut, "at least 2 layers")
    refused(whole, "layer 3 is asked for; expected 1 to 2", layer=3)
    refused(whole, "layer 0 is asked for; expected 1 to 2", layer=0)
    refused(whole, "layer 11 is asked for", layer=codebert.LAYER)


def test_a_head_on_top_and_half_precision_are_the_same_encoder(whole, tmp_path):
    named = {f"roberta.{n}": t for n, t in random_tensors().items()}
    head = {"lm_head.bias": np.ones(3, np.float32)}
    ids = {"roberta.embeddings.position_ids": np.arange(3)}
    topped = write(tmp_path / "topped", named | head | ids)
    np.testing.assert_array_equal(load(topped)(CODE), load(whole)(CODE))
    halves = {n: t.astype(np.float16) for n, t in random_tensors().items()}
    half = load(write(tmp_path / "half", halves))(CODE)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, load(whole)(CODE), atol=2e-2)


def test_tokenizer_json_gives_the_same_tokens_and_text_is_never_a_special(tmp_path):
    folder = write(tmp_path / "two", random_tensors())
    parts = [folder / name for name in ("vocab.json", "merges.txt")]
    bpe = tokenizers.models.BPE.from_file(*map(str, parts))
    built = tokenizers.Tokenizer(bpe)
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.add_special_tokens(["<s>", "</s>", "<pad>", "<mask>"])
    built.enable_truncation(3)
    built.enable_padding(length=30)
    texts = (CODE, "<s>x</s><mask>", "naïve = '\u2028'", "\ud800 x")
    expected = [load(folder, keep_punctuation=True)(text) for text in texts]
    built.save(str(folder / "tokenizer.json"))
    for part in parts:
        part.unlink()
    for text, rows in zip(texts, expected, strict=True):
        np.testing.assert_array_equal(load(folder, keep_punctuation=True)(text), rows)
    assert len(expected[1]) == len("<s>x</s><mask>")


def test_without_tokenizers_one_line_says_what_to_install(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError, match=r"pip install 'codefusion\[eval\]'") as error:
        load(whole)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "merges.txt"])
def test_a_missing_file_is_named_with_what_is_there(folder, name):
    refused(folder / "absent", "no such folder")
    (folder / name).unlink()
    text = refused(folder, f"no {re.escape(name)}; found")
    assert "vocab.json" in text and "pickle" not in text


def test_a_pickle_is_never_opened(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    refused(folder, "is a pickle and is not read")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "t5"}, "model_type is 't5'; expected 'roberta'"),
        ({"model_type": None}, "model_type is None; expected 'roberta'"),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'; expected 'gelu'"),
        ({"position_embedding_type": "rotary"}, "expected 'absolute'"),
        ({"hidden_size": "24"}, "hidden_size is '24'; expected a number above 0"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; expected"),
        ({"vocab_size": None}, "vocab_size is None; expected"),
        ({"layer_norm_eps": None}, "layer_norm_eps is None; expected"),
        ({"pad_token_id": POSITIONS}, f"pad_token_id is {POSITIONS}; expected"),
        ({"num_attention_heads": 5}, "hidden_size is 24; expected a multiple of"),
    ],
)
def test_another_form_is_told_by_its_config(tmp_path, change, says):
    folder = write(tmp_path / "other", random_tensors(), **change)
    assert "config.json" in refused(folder, re.escape(says))


def test_a_wrong_shape_says_expected_and_got(folder):
    wrong = {QUERY: np.ones((WIDTH, WIDTH + 1), np.float32)}
    text = refused(write(folder, random_tensors() | wrong), "model.safetensors")
    assert f"{QUERY} expected {(WIDTH, WIDTH)}, got {(WIDTH, WIDTH + 1)}." in text
    text = refused(write(folder, random_tensors(), vocab_size=VOCAB + 1), "word_emb")
    assert f"expected {(VOCAB + 1, WIDTH)}, got {(VOCAB, WIDTH)}." in text


def test_values_that_are_not_finite_and_files_that_are_cut_are_refused(folder):
    tensors = random_tensors()
    tensors[QUERY][0, 0] = np.nan
    refused(write(folder, tensors), re.escape(QUERY) + " has values that are not")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    refused(folder, "bad safetensors file")
    for text in ("", "{", "[]", "[" * 50_000):
        (folder / "config.json").write_text(text)
        refused(folder, "config.json")


def test_a_vocabulary_of_another_model_is_refused(folder):
    file = folder / "vocab.json"
    vocabulary = json.loads(file.read_text())
    file.write_text(json.dumps(vocabulary | {"<mask>": VOCAB}))
    assert "vocab.json" in refused(folder, f"the largest id is {VOCAB}; expected less")
    del vocabulary["</s>"]
    file.write_text(json.dumps(vocabulary))
    refused(folder, "the vocabulary lacks </s>; expected a byte-level BPE")
    for text in ("{", "[]", json.dumps({"<s>": 0})):
        file.write_text(text)
        refused(folder, "no tokenizer can be read")


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """A RoBERTa of another library in a folder it wrote, every weight random."""
    torch = pytest.importorskip("torch", reason="needs torch")
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    torch.manual_seed(0)
    folder = write(tmp_path_factory.mktemp("oracle") / "roberta", random_tensors())
    roberta = transformers.RobertaModel(transformers.RobertaConfig(**CONFIG)).eval()
    with torch.no_grad():
        for weight in roberta.parameters():
            weight += 0.1 * torch.randn_like(weight)
    roberta.save_pretrained(folder)
    return folder, roberta


@pytest.mark.parametrize("layer", range(1, LAYERS + 1))
@pytest.mark.parametrize("length", [1, 5, 29, 31, 70, 76, 200])
def test_every_layer_equals_roberta_needs_transformers_and_torch(oracle, layer, length):
    import torch
    import transformers

    folder, roberta = oracle
    rng = np.random.default_rng(length)
    text = "".join(rng.choice(list("abcdefgAB012 ()='\né"), length)).strip()
    files = dict(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    tokenizer = transformers.RobertaTokenizer(**files)
    ids = tokenizer(text, truncation=True, max_length=POSITIONS - PAD - 1)["input_ids"]
    with torch.no_grad():
        states = roberta(torch.tensor([ids]), output_hidden_states=True).hidden_states
    expected = states[layer][0, 1:-1].numpy()
    ours = load(folder, layer=layer, keep_punctuation=True)(text)
    error = np.abs(ours - expected).max()
    print(f"largest error {error:.2e} of {np.abs(expected).max():.2f}")
    assert ours.shape == expected.shape
    assert error < 1e-5
