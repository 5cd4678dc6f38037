"""Training losses: what they are zero for, what they count and what they ignore."""

import chex
import jax
import jax.numpy as jnp
import pytest

from codefusion import diffusion
from codefusion.diffusion import losses

B, L, E, V = 3, 6, 4, 7
MASK = jnp.arange(L)[None] < jnp.array([2, 6, 4])[:, None]
every_loss = pytest.mark.parametrize("make", list(diffusion.LOSSES.values()))


def prediction(seed=0):
    """Returns a prediction that is wrong everywhere."""
    keys = jax.random.split(jax.random.key(seed), 7)
    x0, x0_hat, noise, noise_hat, decoded = (
        jax.random.normal(key, (B, L, E)) for key in keys[:5]
    )
    log_probs = jax.nn.log_softmax(jax.random.normal(keys[5], (B, L, V)))
    target = jax.random.randint(keys[6], (B, L), 0, V)
    return losses.Prediction(
        x0, x0_hat, noise, noise_hat, decoded, log_probs, target, MASK
    )


def perfect(p):
    """Returns the prediction without its errors."""
    sure = jnp.log(jax.nn.one_hot(p.target, V) + 1e-12)
    return p._replace(x0_hat=p.x0, noise_hat=p.noise, decoded=p.x0, log_probs=sure)


def spoilt(p, where):
    """Returns the prediction with every estimate changed where `where` is True."""
    wide = where[..., None]
    return p._replace(
        x0_hat=jnp.where(wide, 9.0, p.x0_hat),
        noise_hat=jnp.where(wide, 9.0, p.noise_hat),
        decoded=jnp.where(wide, 9.0, p.decoded),
        log_probs=jnp.where(wide, -9.0, p.log_probs),
    )


@every_loss
def test_a_perfect_prediction_costs_nothing(make):
    loss, parts = make()(perfect(prediction()))
    chex.assert_trees_all_close(loss, jnp.float32(0), atol=1e-6)
    chex.assert_trees_all_close(parts, {k: jnp.float32(0) for k in parts}, atol=1e-6)


@every_loss
def test_padding_without_weight_changes_nothing(make):
    loss, p = make(padding_weight=0.0), prediction()
    chex.assert_trees_all_equal(loss(p), loss(spoilt(p, ~MASK)))
    assert loss(spoilt(p, MASK))[0] > loss(p)[0]


@every_loss
def test_padding_counts_by_default_since_it_says_where_a_program_ends(make):
    p = perfect(prediction())
    assert make()(spoilt(p, ~MASK))[0] > 1


@every_loss
def test_more_padding_weight_is_more_loss_from_padding(make):
    p = spoilt(perfect(prediction()), ~MASK)
    costs = [make(padding_weight=w)(p)[0] for w in (0.0, 0.1, 0.5, 1.0)]
    assert costs == sorted(costs) and costs[0] < 1e-6 < costs[1]


@every_loss
def test_the_order_of_rows_does_not_matter(make):
    p = prediction()
    swapped = jax.tree.map(lambda x: x[::-1], p)
    chex.assert_trees_all_close(make()(p), make()(swapped), rtol=1e-5)


@every_loss
def test_every_part_is_a_finite_number(make):
    loss, parts = make()(prediction())
    chex.assert_shape(loss, ())
    chex.assert_tree_all_finite((loss, parts))
    assert all(part > 0 for part in parts.values())


@pytest.mark.parametrize(
    ("make", "weight", "part"),
    [
        (losses.PaperLoss, "noise_weight", "noise_mse"),
        (losses.PaperLoss, "decoder_weight", "decoder_mse"),
        (losses.PaperLoss, "token_weight", "cross_entropy"),
        (losses.TokenLoss, "x0_weight", "x0_mse"),
    ],
)
def test_a_weight_is_the_slope_of_the_loss_in_its_part(make, weight, part):
    p = prediction()
    (low, parts), (high, _) = make(**{weight: 1.0})(p), make(**{weight: 3.0})(p)
    chex.assert_trees_all_close(high - low, 2 * parts[part], rtol=1e-4)


def test_the_paper_loss_scores_the_noise_and_the_token_loss_the_data():
    p = prediction()
    touched = p._replace(noise_hat=p.noise_hat + 1)
    assert losses.PaperLoss()(touched)[0] != losses.PaperLoss()(p)[0]
    chex.assert_trees_all_equal(losses.TokenLoss()(touched), losses.TokenLoss()(p))


def test_position_weights_are_shares():
    weight = losses.position_weights(MASK, 0.2)
    chex.assert_trees_all_close(weight.sum(), jnp.float32(1), atol=1e-6)
    chex.assert_trees_all_close(
        weight[0, -1] / weight[0, 0], jnp.float32(0.2), rtol=1e-5
    )


def test_guessing_evenly_costs_the_log_of_the_vocabulary():
    even = jnp.full((B, L, V), -jnp.log(V))
    p = prediction()._replace(log_probs=even)
    _, parts = losses.TokenLoss()(p)
    chex.assert_trees_all_close(parts["cross_entropy"], jnp.log(V), rtol=1e-5)


@pytest.mark.parametrize("error", [0.5, 2.0])
def test_the_same_error_everywhere_is_its_square(error):
    p = prediction()
    p = p._replace(x0_hat=p.x0 + error)
    _, parts = losses.TokenLoss()(p)
    chex.assert_trees_all_close(parts["x0_mse"], jnp.float32(error**2), rtol=1e-4)


@every_loss
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("noise_hat", lambda x: x[:1]),
        ("decoded", lambda x: x[..., :1]),
        ("log_probs", lambda x: x[:, :1]),
        ("target", lambda x: x[:1]),
        ("target_mask", lambda x: x[:, :1]),
    ],
)
def test_parts_that_would_broadcast_are_refused(make, field, change):
    p = prediction()
    with pytest.raises(AssertionError):
        make()(p._replace(**{field: change(getattr(p, field))}))
