"""From estimates to tokens without a decoder."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import diffusion

TABLE = jax.random.normal(jax.random.key(0), (11, 8))
ESTIMATE = jax.random.normal(jax.random.key(1), (3, 5, 8))


@pytest.mark.parametrize("name", ["decoder", "grounding"])
def test_estimates_are_left_alone_on_the_way(name):
    rounding = diffusion.ROUNDINGS[name]()
    chex.assert_trees_all_equal(rounding(ESTIMATE, TABLE), ESTIMATE)


def test_only_the_decoder_reads_the_decoder():
    readers = {name: make().reads_decoder for name, make in diffusion.ROUNDINGS.items()}
    assert readers == {"decoder": True, "grounding": False, "clamping": False}


def test_clamping_leads_to_the_nearest_embedding():
    clamped = diffusion.ROUNDINGS["clamping"]()(ESTIMATE, TABLE)
    distances = np.linalg.norm(ESTIMATE[:, :, None] - TABLE[None, None], axis=-1)
    chex.assert_trees_all_equal(clamped, TABLE[distances.argmin(axis=-1)])


def test_clamping_twice_is_clamping_once():
    clamp = diffusion.ROUNDINGS["clamping"]()
    once = clamp(ESTIMATE, TABLE)
    chex.assert_trees_all_equal(clamp(once, TABLE), once)


def test_nearer_embeddings_are_likelier():
    log_probs = diffusion.nearest_log_probs(ESTIMATE, TABLE)
    distances = np.linalg.norm(ESTIMATE[:, :, None] - TABLE[None, None], axis=-1)
    chex.assert_trees_all_equal(
        jnp.argsort(-log_probs, axis=-1), jnp.asarray(distances.argsort(axis=-1))
    )


def test_nearest_log_probs_are_those_of_a_distribution():
    log_probs = diffusion.nearest_log_probs(ESTIMATE, TABLE)
    chex.assert_trees_all_close(jnp.exp(log_probs).sum(-1), jnp.ones((3, 5)), atol=1e-5)


def test_an_embedding_with_a_little_noise_is_its_own_token():
    tokens = jnp.array([[3, 0, 10, 7]])
    estimate = TABLE[tokens] + 0.1 * jax.random.normal(jax.random.key(2), (1, 4, 8))
    read = diffusion.nearest_log_probs(estimate, TABLE).argmax(-1)
    chex.assert_trees_all_equal(read, tokens)


def test_embeddings_of_another_width_are_refused():
    with pytest.raises(AssertionError):
        diffusion.nearest_log_probs(ESTIMATE, TABLE[:, :1])
