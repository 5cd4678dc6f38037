"""The autoregressive model: it sees no future, and remembers the past exactly."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import models

B, S, L, V, D = 2, 6, 5, 20, 12
FIELDS = dict(
    vocab_size=V,
    width=D,
    embedding_width=D,
    num_heads=2,
    head_width=4,
    mlp_width=16,
    encoder_layers=1,
    decoder_layers=2,
    max_source_length=S,
    max_target_length=L,
)
RNG = np.random.default_rng(0)
SOURCE, TARGET = (jnp.asarray(RNG.integers(5, V, (B, n))) for n in (S, L))
MASK = jnp.arange(S)[None] < jnp.array([S, 3])[:, None]


@functools.cache
def compiled(model):
    """Returns the compiled `apply` of a model."""
    return jax.jit(model.apply, static_argnames=("method", "mutable"))


def read(model, variables):
    """Returns the context of the sources."""
    return compiled(model)(variables, SOURCE, MASK, method="encode")


def write(model, variables, target):
    """Returns log-probabilities of whole programs, float32[B, L, V]."""
    context = read(model, variables)
    return compiled(model)(variables, target, context, method="write")[1]


def test_a_position_sees_the_tokens_before_it_and_no_others(drawn):
    model = models.Autoregressive(**FIELDS)
    variables = drawn(model, SOURCE, MASK, TARGET)
    before = write(model, variables, TARGET)
    other = jnp.where(TARGET[:, 2] == 5, 6, 5)
    after = write(model, variables, TARGET.at[:, 2].set(other))
    chex.assert_trees_all_equal(before[:, :3], after[:, :3])
    assert jnp.all(jnp.max(jnp.abs(before - after)[:, 3:], axis=-1) > 1e-5)


@pytest.mark.parametrize("scan_layers", [False, True])
def test_tokens_one_by_one_get_the_probabilities_of_whole_programs(drawn, scan_layers):
    model = models.Autoregressive(**FIELDS, scan_layers=scan_layers)
    variables = drawn(model, SOURCE, MASK, TARGET)
    context, expected = read(model, variables), write(model, variables, TARGET)
    token, cache = jnp.full(B, model.start_id), {}
    for position in range(L):
        found, cache = compiled(model)(
            variables | cache,
            token,
            jnp.int32(position),
            context,
            method="write_next",
            mutable="cache",
        )
        chex.assert_trees_all_close(found, expected[:, position], atol=1e-5)
        token = TARGET[:, position]


def test_a_context_can_be_repeated_though_nothing_is_denoised(drawn):
    model = models.Autoregressive(**FIELDS)
    variables = drawn(model, SOURCE, MASK, TARGET)
    context = read(model, variables)
    twice = context.repeat(2)
    assert twice.denoiser is None
    chex.assert_trees_all_equal(twice.decoder[:, :, ::2], context.decoder)
    chex.assert_trees_all_equal(twice.hidden[1::2], context.hidden)
