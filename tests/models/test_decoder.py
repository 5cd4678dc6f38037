"""The decoder and its heads: distributions over tokens, copies from the source."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import models
from codefusion.models import decoder

B, L, S, D, V = 3, 5, 4, 12, 30
SOURCE = jnp.array([[20, 21, 22, 23], [24, 25, 0, 0], [26, 27, 28, 29]])
# The last row's context is dropped: nothing may be copied.
COPYABLE = jnp.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
every_head = pytest.mark.parametrize("name", sorted(models.HEADS))


def normal(seed, *shape):
    """Returns a standard normal draw, float32."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


HIDDEN, CONTEXT = normal(0, B, L, D), normal(1, B, S, D)


@functools.cache
def compiled(name):
    """Returns the compiled `apply` of a head."""
    return jax.jit(models.HEADS[name](V).apply)


@pytest.fixture(scope="module")
def params(drawn):
    """Parameters by head: the vocabulary's mass is on token 0, so copies stand out."""

    def one(name):
        head = models.HEADS[name](V)
        leaves = drawn(head, HIDDEN, CONTEXT, COPYABLE, SOURCE)["params"]
        bias = jnp.where(np.arange(V) == 0, 0.0, -60.0)
        return {**leaves, "vocabulary": {**leaves["vocabulary"], "bias": bias}}

    return {name: one(name) for name in models.HEADS}


@pytest.fixture(scope="module")
def probabilities(params):
    """The function that returns the probabilities of a head, [B, L, V]."""

    def run(name, copyable=COPYABLE, source=SOURCE, **changed):
        variables = {"params": {**params[name], **changed}}
        return np.exp(compiled(name)(variables, HIDDEN, CONTEXT, copyable, source))

    return run


def gate(bias):
    """Returns parameters of a gate that is the same everywhere."""
    return {"kernel": jnp.zeros((D, 1)), "bias": jnp.full(1, bias)}


@every_head
def test_probabilities_sum_to_one(probabilities, name):
    total = probabilities(name).sum(-1)
    chex.assert_trees_all_close(total, jnp.ones((B, L)), atol=1e-5)


def test_source_tokens_have_mass_and_all_others_none(probabilities):
    probs = probabilities("copy")
    copied = jnp.take_along_axis(probs, SOURCE[:, None], axis=-1)
    assert jnp.all(copied[0] > 1e-3) and jnp.all(copied[1, :, :2] > 1e-3)
    absent = jnp.arange(1, V)
    in_source = jnp.any(absent[None, :, None] == SOURCE[:2, None], axis=-1)
    others = jnp.where(in_source[:, None], 0.0, probs[:2, :, 1:])
    assert jnp.max(others) < 1e-6


@every_head
def test_nothing_is_copied_from_a_dropped_context(probabilities, name):
    probs = probabilities(name)
    assert jnp.max(probs[2, :, 1:]) < 1e-6
    chex.assert_trees_all_close(probs[2, :, 0], jnp.ones(L), atol=1e-5)


def test_tokens_that_may_not_be_copied_are_not(probabilities):
    swapped = SOURCE.at[1, 2:].set(jnp.array([7, 8]))
    before, after = probabilities("copy"), probabilities("copy", source=swapped)
    chex.assert_trees_all_close(before, after, atol=1e-7)


def test_an_open_gate_reads_the_vocabulary_and_a_shut_one_the_source(probabilities):
    read, copied = (probabilities("copy", gate=gate(b))[0] for b in (60.0, -60.0))
    chex.assert_trees_all_close(read[:, 0], jnp.ones(L), atol=1e-5)
    assert jnp.max(copied[:, :20]) < 1e-6


def test_a_token_that_stands_twice_in_the_source_has_both_masses(probabilities):
    twice = SOURCE.at[0, 1].set(20)
    once = probabilities("copy")[0]
    both = probabilities("copy", source=twice)[0]
    chex.assert_trees_all_close(both[:, 20], once[:, 20] + once[:, 21], atol=1e-5)


@every_head
def test_the_gradient_of_a_head_is_finite_even_where_nothing_can_be_copied(
    params, name
):
    apply = compiled(name)

    def loss(params, hidden):
        log_probs = apply({"params": params}, hidden, CONTEXT, COPYABLE, SOURCE)
        return log_probs[..., 0].sum()

    chex.assert_tree_all_finite(jax.jit(jax.grad(loss, (0, 1)))(params[name], HIDDEN))


@every_head
def test_half_precision_does_not_round_what_a_softmax_reads(drawn, name):
    """With inputs and matrices that bfloat16 holds, its head is the float32 one."""
    inputs = [x.astype(jnp.bfloat16).astype(jnp.float32) for x in (HIDDEN, CONTEXT)]
    head = models.HEADS[name](V)
    params = drawn(head, *inputs, COPYABLE, SOURCE)["params"]
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(x.dtype), params)
    # Queries and keys are rounded; these are the inputs themselves, scores of about 10.
    same = {"kernel": 2.0 * jnp.eye(D), "bias": jnp.zeros(D)}
    params |= {name: same for name in ("query", "key") if name in params}
    half, full = (
        models.HEADS[name](V, dtype).apply({"params": params}, *x, COPYABLE, SOURCE)
        for dtype, x in (
            (jnp.bfloat16, [x.astype(jnp.bfloat16) for x in inputs]),
            (jnp.float32, inputs),
        )
    )
    assert half.dtype == jnp.float32
    chex.assert_trees_all_close(half, full, atol=1e-5)


STACK = dict(num_layers=1, num_heads=2, head_width=4, mlp_width=16)
STACK |= dict(alignment_rounds=2)


def test_decoder_positions_see_each_other_and_no_padding(drawn):
    module = decoder.Decoder(width=D, stack=STACK, max_length=L)
    x0_hat, key_values, mask = normal(2, B, L, 6), normal(3, 1, 2, B, S, 2, 4), COPYABLE
    variables = drawn(module, x0_hat, key_values, mask)
    run = jax.jit(module.apply)
    before = run(variables, x0_hat, key_values, mask)
    hidden = jnp.where(mask[None, None, ..., None, None], key_values, 50.0)
    after = run(variables, x0_hat, hidden, mask)
    chex.assert_trees_all_equal(before[:2], after[:2])
    other = run(variables, x0_hat.at[:, -1].add(3.0), key_values, mask)
    assert jnp.all(jnp.max(jnp.abs(before - other), axis=-1) > 1e-5)
