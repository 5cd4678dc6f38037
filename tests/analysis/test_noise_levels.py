"""What a model reads at a noise level, and of which rows."""

import importlib.util
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import assemble, diffusion
from codefusion.analysis import noise_levels
from codefusion.data.tokenizer import EOS_ID, Tokenizer
from codefusion.types import Batch

ROOT = pathlib.Path(__file__).parents[2]
B, S, L, V = 16, 3, 8, 32
TABLE = np.sqrt(V) * np.eye(V, dtype=np.float32)


class Repeater:
    """A network that takes what it sees for the answer."""

    self_conditioning = True

    def apply(self, variables, *args, method):
        """Returns what a method of a model returns."""
        return getattr(self, method)(*args)

    def embed(self, target):
        return jnp.asarray(TABLE)[target]

    def encode(self, source, source_mask):
        return None

    def denoise(self, inputs, t, estimate, context):
        return inputs

    def decode(self, x0_hat, context, target):
        return None, diffusion.nearest_log_probs(x0_hat, jnp.asarray(TABLE))


def batch():
    """Random targets, half of each row in the mask."""
    rng = np.random.default_rng(0)
    target, source = rng.integers(0, V, (B, L)), np.ones((B, S), np.int32)
    mask = np.arange(L)[None].repeat(B, 0) < L // 2
    return Batch(source, source > 0, target, mask, unsupervised=np.zeros(B, bool))


def test_noise_hides_the_program_bit_by_bit():
    parts = types.SimpleNamespace(
        model=Repeater(), process=diffusion.GaussianProcess(diffusion.CosineSchedule())
    )
    model = types.SimpleNamespace(parts=parts, params={})
    found = [noise_levels.measure(model, batch(), t) for t in (1.0, 0.8, 0.1)]
    losses, right = zip(*found, strict=True)
    assert sorted(losses, reverse=True) == list(losses)
    assert right[0] < 0.2 < right[1] < 0.95 < right[2] == pytest.approx(1)


class Counter:
    """A writer that is sure of the token after the last, half as sure of others."""

    def apply(self, variables, *args, method):
        """Returns what a method of a model returns."""
        return getattr(self, method)(*args)

    def encode(self, source, source_mask):
        return None

    def write(self, target, context):
        before = jnp.pad(target[:, :-1], ((0, 0), (1, 0)))
        scores = jnp.log(1.0 + jax.nn.one_hot((before + 1) % V, V))
        return None, jax.nn.log_softmax(scores)


def test_what_is_written_is_scored_given_the_tokens_before(monkeypatch):
    counted = batch()._replace(target=(np.arange(L) + 1)[None].repeat(B, 0))
    found = {"train": counted, "test": batch()}
    monkeypatch.setattr(noise_levels, "rows", lambda model, split, count: found[split])
    parts = types.SimpleNamespace(model=Counter())
    model = types.SimpleNamespace(parts=parts, params={}, step=7)
    told = noise_levels.measure_written(model, 16)
    assert (told["step"], told["rows"]) == (7, 16)
    (level,) = told["levels"]
    assert level["t"] is None and level["train"]["right"] == 1.0
    expected = np.log((V + 1) / 2)
    assert level["train"]["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert level["test"]["right"] < 0.3
    assert level["test"]["cross_entropy"] > expected


def test_rows_are_those_of_the_split_that_fit():
    path = ROOT / "configs" / "tiny.py"
    spec = importlib.util.spec_from_file_location("tiny_config", path)
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    config = tiny.get_config()
    config.data.update(size=60, held_out_size=20)
    config = assemble.check(config)
    examples = assemble.dataset(config).examples("test")
    tokenizer = Tokenizer.train([each.code for each in examples], vocab_size=330)
    model = types.SimpleNamespace(config=config, tokenizer=tokenizer, retrieval=None)
    found = noise_levels.rows(model, "test", 10)
    codes = [tokenizer.decode(row) for row in found.target]
    assert 0 < len(codes) <= 10 and set(codes) <= {each.code for each in examples}
    assert (found.target[found.target_mask] == EOS_ID).sum() == len(codes)


def legible(scale, width, t):
    table = jax.random.normal(jax.random.key(0), (200, width))
    process = diffusion.GaussianProcess(diffusion.CosineSchedule(), scale)
    return float(noise_levels.legible(process, table, [t])[0])


def test_a_token_is_legible_at_the_data_and_not_in_the_noise():
    assert legible(1.0, 32, 0.0) == 1.0
    assert legible(1.0, 32, 1.0) < 0.05


def test_what_is_smaller_or_narrower_is_less_legible():
    assert legible(1.0, 64, 0.5) > legible(0.3, 64, 0.5) + 0.1
    assert legible(0.5, 64, 0.5) > legible(0.5, 8, 0.5) + 0.1


def test_a_program_is_read_where_there_is_no_noise_and_not_in_noise():
    tokenizer = Tokenizer.train(["ls -l /tmp", "cat *.txt"], vocab_size=300)
    table = np.random.default_rng(0).standard_normal((tokenizer.vocab_size, 48))
    network = types.SimpleNamespace(
        apply=lambda variables, tokens, method: jnp.asarray(table)[tokens]
    )
    process = diffusion.GaussianProcess(diffusion.CosineSchedule())
    parts = types.SimpleNamespace(model=network, process=process)
    model = types.SimpleNamespace(parts=parts, params={}, tokenizer=tokenizer)
    clear, noise = noise_levels.readings(model, "cat /tmp", (0.0, 1.0))
    assert clear == "cat /tmp" and noise != clear
