"""The forward process, and every conversion there and back."""

import chex
import jax
import jax.numpy as jnp
import pytest

from codefusion import diffusion

SHAPE = (6, 5, 8)
TIMES = jnp.linspace(0.05, 0.95, SHAPE[0])
CONVERSIONS = [
    ("noise_from_x0", "x0_from_noise"),
    ("score_from_x0", "x0_from_score"),
    ("velocity_from_x0", "x0_from_velocity"),
]


def processes():
    """Returns one process for each schedule and two embedding scales."""
    return [
        diffusion.GaussianProcess(make(), embedding_scale=scale)
        for make in diffusion.SCHEDULES.values()
        for scale in (0.4, 1.0)
    ]


def draw(seed):
    """Returns a standard normal draw, float32[B, L, E]."""
    return jax.random.normal(jax.random.key(seed), SHAPE)


@pytest.mark.parametrize("process", processes(), ids=str)
@pytest.mark.parametrize(("there", "back"), CONVERSIONS)
def test_a_conversion_there_and_back_is_the_identity(process, there, back):
    xt, x0 = draw(0), draw(1)
    other = getattr(process, there)(xt, x0, TIMES)
    # At t = 0.95 the data is a hundredth of xt: float32 leaves four digits.
    chex.assert_trees_all_close(getattr(process, back)(xt, other, TIMES), x0, atol=2e-3)


@pytest.mark.parametrize("process", processes(), ids=str)
def test_the_noise_that_was_added_is_found_again(process):
    x0, noise = draw(0), draw(1)
    xt = process.add_noise(x0, TIMES, noise=noise)
    chex.assert_trees_all_close(process.noise_from_x0(xt, x0, TIMES), noise, atol=1e-4)
    chex.assert_trees_all_close(process.x0_from_noise(xt, noise, TIMES), x0, atol=2e-3)


@pytest.mark.parametrize("process", processes(), ids=str)
def test_the_score_is_the_gradient_of_the_log_density(process):
    xt, x0 = draw(0), draw(1)

    def log_density(xt):
        mean = process.add_noise(x0, TIMES, noise=jnp.zeros_like(x0))
        spread = process.add_noise(jnp.zeros_like(x0), TIMES, noise=jnp.ones_like(x0))
        return jax.scipy.stats.norm.logpdf(xt, mean, spread).sum()

    chex.assert_trees_all_close(
        process.score_from_x0(xt, x0, TIMES), jax.grad(log_density)(xt), rtol=1e-4
    )


@pytest.mark.parametrize("process", processes(), ids=str)
def test_the_network_sees_unit_variance_at_every_time(process):
    shape = (5, 100, 400)
    times = jnp.linspace(0.0, 1.0, shape[0])
    x0, noise = jax.random.normal(jax.random.key(0), (2, *shape))
    seen = process.network_input(process.add_noise(x0, times, noise=noise), times)
    # 40,000 draws a row: the standard error of a variance is 0.7 %.
    chex.assert_trees_all_close(jnp.var(seen, axis=(1, 2)), jnp.ones(5), rtol=0.03)


def test_a_smaller_embedding_scale_makes_tokens_harder_to_tell_apart():
    quiet, loud = (
        diffusion.GaussianProcess(diffusion.SCHEDULES["sqrt"](), scale)
        for scale in (0.25, 1.0)
    )
    t = jnp.array(0.3)
    signal = [a / sigma for a, sigma in (quiet.rates(t), loud.rates(t))]
    chex.assert_trees_all_close(4 * signal[0], signal[1], rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_an_embedding_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=r"diffusion\.embedding_scale"):
        diffusion.GaussianProcess(diffusion.SCHEDULES["sqrt"](), scale)


def test_a_time_without_a_row_is_refused():
    process = processes()[0]
    with pytest.raises(AssertionError):
        process.add_noise(draw(0), jnp.array(0.5), noise=draw(1))


@pytest.mark.parametrize("method", ["network_input", *sum(CONVERSIONS, ())])
@pytest.mark.parametrize("fault", ["times", "rank", "other"])
def test_shapes_that_would_broadcast_are_refused(method, fault):
    process, x, t = processes()[0], draw(0), TIMES
    arguments = [x] if method == "network_input" else [x, x]
    if fault == "times":
        t = t[:1]
    elif fault == "rank":
        arguments = [a[0] for a in arguments]
    else:
        arguments = [*arguments[:-1], x[:, :, None]]
    with pytest.raises(AssertionError):
        getattr(process, method)(*arguments, t)
