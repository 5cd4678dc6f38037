"""What a trajectory tells of every step, and what it keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import decoding, diffusion, drawing

L, E, V = 5, 4, 12
TABLE = jnp.eye(V, E) + 1.5 * jnp.eye(V, E, k=-E) - jnp.eye(V, E, k=-2 * E)
TARGET = jnp.array([1, 7, 3, 10, 0])


class Context:
    """A context that says nothing."""

    def repeat(self, count):
        """Returns itself: a row is as good as another."""
        return self


class Network:
    """A network that knows the answer, and is off by `params` from its embeddings."""

    embedding_width = E
    causal_decoder = False

    def apply(self, variables, *args, method):
        """Returns what a method of a model returns."""
        return getattr(self, method)(variables["params"], *args)

    def embedding_table(self, params):
        return TABLE

    def encode(self, params, source, mask):
        return Context()

    def denoise(self, params, inputs, t, estimate, context):
        return jnp.broadcast_to(TABLE[TARGET] + params, inputs.shape)

    def decode(self, params, x0_hat, context):
        return None, diffusion.nearest_log_probs(x0_hat, TABLE)


NETWORK = Network()


def traced(num_steps, off=0.0, number=0):
    """Returns the compiled program of a trajectory of two draws, and its arguments."""
    plan = drawing.Plan(
        model=NETWORK,
        process=diffusion.GaussianProcess(diffusion.CosineSchedule()),
        rounding=diffusion.ROUNDINGS["decoder"](),
        sampler=diffusion.DDIM(num_steps=num_steps),
        target_length=L,
        num_draws=2,
        guidance=1.0,
        temperature=1.0,
        token_temperature=1.0,
        is_resident=False,
    )
    source = jnp.ones((1, 3), int)
    return plan, (jnp.float32(off), source, source > 0, jax.random.key(0), number)


def test_a_trajectory_tells_tokens_and_how_far_their_embeddings_are():
    for off in (0.0, 0.125):
        plan, arguments = traced(3, off)
        found = drawing.trajectory(plan, *arguments)
        assert found.tokens.shape == (3, 2, L)
        for tokens in (found.tokens, found.nearest):
            np.testing.assert_array_equal(tokens, np.broadcast_to(TARGET, tokens.shape))
        np.testing.assert_allclose(found.distances, off, atol=1e-6)
        x0_hat = (TABLE[TARGET] + off)[None]
        sure = decoding.draw(diffusion.nearest_log_probs(x0_hat, TABLE), None, 0.0)
        expected = np.broadcast_to(sure.log_probs, (3, 2, L))
        np.testing.assert_allclose(found.log_probs, expected, rtol=1e-5)


def test_a_trajectory_tells_what_the_noise_is_nearest_to():
    plan, arguments = traced(200)
    noisy = drawing.trajectory(plan, *arguments).noisy
    right = np.mean(np.asarray(noisy) == np.asarray(TARGET), axis=(1, 2))
    assert right[-1] == 1.0 and np.mean(right[:20]) < np.mean(right[-20:])


def test_a_trajectory_keeps_no_estimates():
    def temporaries(num_steps):
        plan, arguments = traced(num_steps)
        program = drawing.trajectory.lower(plan, *arguments).compile()
        analysis = program.memory_analysis()
        if analysis is None:
            pytest.skip("this compiler does not tell the memory of a program")
        return analysis.temp_size_in_bytes

    few, many = temporaries(10), temporaries(1000)
    assert many - few < 1000 * 2 * L * E * 4  # bytes of the estimates
