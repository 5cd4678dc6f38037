"""Attention, positions and the stack: which inputs may matter and which may not."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion.models import blocks, layers
from pallas_kernels.attention import attention

B, L, S, D, N, H = 2, 5, 4, 12, 2, 6
MASK = jnp.arange(S)[None] < jnp.array([S, 2])[:, None]
FIELDS = dict(num_layers=3, num_heads=N, head_width=H, mlp_width=20, max_length=L)
FIELDS |= dict(alignment_rounds=2)


def normal(seed, *shape):
    """Returns a standard normal draw, float32."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


X, KEY_VALUES = normal(0, B, L, D), normal(1, 3, 2, B, S, N, H)


@pytest.fixture(scope="module")
def params(drawn):
    """Parameters of an unrolled stack."""
    return drawn(blocks.Stack(**FIELDS), X, KEY_VALUES, MASK)["params"]


def restacked(params):
    """Returns unrolled parameters in the form of `scan_layers`."""
    blocks = [params[f"layer_{i}"] for i in range(FIELDS["num_layers"])]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *blocks)
    return {"layers": {"block": stacked}, "norm": params["norm"]}


def value_and_gradients(params, **options):
    """Returns the output of a stack and the gradient of a number made from it."""
    stack = blocks.Stack(**FIELDS, **options)

    def loss(params, x, key_values):
        y = stack.apply({"params": params}, x, key_values, MASK)
        return jnp.sum(jnp.sin(y)), y

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
    (_, y), gradients = run(params, X, KEY_VALUES)
    return y, gradients


def test_scanned_layers_equal_unrolled_ones_with_stacked_parameters(params):
    y, (gradients, *others) = value_and_gradients(params)
    scanned = value_and_gradients(restacked(params), scan_layers=True)
    expected = (y, (restacked(gradients), *others))
    chex.assert_trees_all_close(scanned, expected, rtol=1e-3, atol=1e-4)


def test_scanned_layers_begin_with_parameters_of_that_form(params):
    stack = blocks.Stack(**FIELDS, scan_layers=True)
    shapes = jax.eval_shape(stack.init, jax.random.key(0), X, KEY_VALUES, MASK)
    chex.assert_trees_all_equal_shapes(shapes["params"], restacked(params))


@pytest.mark.parametrize("scan_layers", [False, True])
def test_remat_changes_neither_values_nor_gradients(params, scan_layers):
    params = restacked(params) if scan_layers else params
    plain, remat = (
        value_and_gradients(params, scan_layers=scan_layers, remat=remat)
        for remat in (False, True)
    )
    chex.assert_trees_all_close(plain, remat, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"scan_layers": True}, {"remat": True}], ids=str
)
def test_dropout_is_drawn_only_where_it_is_asked_for(params, options):
    params = restacked(params) if "scan_layers" in options else params
    stack = blocks.Stack(**FIELDS, **options, dropout=0.5)

    @functools.partial(jax.jit, static_argnames="deterministic")
    def run(seed, deterministic):
        rngs = {"dropout": jax.random.key(seed)}
        return stack.apply(
            {"params": params},
            X,
            KEY_VALUES,
            MASK,
            deterministic=deterministic,
            rngs=rngs,
        )

    chex.assert_trees_all_equal(run(0, True), run(1, True))
    chex.assert_trees_all_equal(run(0, False), run(0, False))
    assert np.max(np.abs(run(0, False) - run(1, False))) > 0.01


def test_masked_keys_and_values_do_not_matter():
    query, key, value = normal(3, B, L, N, H), KEY_VALUES[0, 0], KEY_VALUES[0, 1]
    hidden = ~MASK[..., None, None]
    changed = [jnp.where(hidden, 50.0, y) for y in (key, value)]
    attend = functools.partial(attention, key_mask=MASK)
    chex.assert_trees_all_equal(attend(query, key, value), attend(query, *changed))


def test_attention_to_equal_values_is_that_value():
    query, key = normal(3, B, L, N, H), KEY_VALUES[0, 0]
    value = jnp.broadcast_to(normal(4, B, 1, N, H), key.shape)
    out = attention(query, key, value, key_mask=MASK)
    expected = jnp.broadcast_to(value[:, :1], out.shape)
    chex.assert_trees_all_close(out, expected, atol=1e-6)


def test_a_large_bias_picks_its_key():
    query, key, value = normal(3, B, L, N, H), KEY_VALUES[0, 0], KEY_VALUES[0, 1]
    bias = jnp.zeros((N, L, S)).at[:, :, 1].set(1e4)
    out = attention(query, key, value, bias=bias)
    chex.assert_trees_all_close(out, jnp.broadcast_to(value[:, 1:2], out.shape))


def test_the_scale_of_scores_is_that_of_the_query():
    query, key, value = normal(3, B, L, N, H), KEY_VALUES[0, 0], KEY_VALUES[0, 1]
    chex.assert_trees_all_close(
        attention(query, key, value, scale=1.0),
        attention(query * H**0.5, key, value),
        atol=1e-5,
    )


def shifted(x, by):
    """Returns rotate(x) for positions that begin at `by` and not at 0."""
    ahead = jnp.zeros((x.shape[0], by, *x.shape[2:]))
    return layers.rotate(jnp.concatenate([ahead, x], axis=1))[:, by:]


def scores(query, key):
    """Returns the product of every query and key, float32[B, N, L, L]."""
    return jnp.einsum("btnh,bsnh->bnts", query, key)


def test_rotary_scores_depend_on_distance_alone():
    query, key = normal(5, B, L, N, H), normal(6, B, L, N, H)
    here = scores(shifted(query, 0), shifted(key, 0))
    far = scores(shifted(query, 37), shifted(key, 37))
    apart = scores(shifted(query, 37), shifted(key, 0))
    chex.assert_trees_all_close(here, far, atol=1e-4)
    assert jnp.max(jnp.abs(here - apart)) > 0.1


def test_rotation_keeps_lengths_and_leaves_the_first_position():
    x = normal(5, B, L, N, H)
    rotated = layers.rotate(x)
    chex.assert_trees_all_close(
        jnp.linalg.norm(rotated, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5
    )
    chex.assert_trees_all_equal(rotated[:, 0], x[:, 0])


def test_half_precision_is_rotated_in_float32():
    x = normal(5, 1, 300, N, H).astype(jnp.bfloat16)
    expected = layers.rotate(x.astype(jnp.float32)).astype(jnp.bfloat16)
    chex.assert_trees_all_equal(layers.rotate(x), expected)


def test_normalised_vectors_have_unit_rms_whatever_their_length():
    y = layers.rms_normalize(X)
    chex.assert_trees_all_close(jnp.mean(y**2, -1), jnp.ones((B, L)), atol=1e-4)
    chex.assert_trees_all_close(layers.rms_normalize(100 * X), y, atol=1e-4)
    chex.assert_tree_all_finite(layers.rms_normalize(0 * X))


def test_time_features_tell_neighbouring_steps_of_the_paper_apart():
    t = jnp.linspace(0.0, 1.0, 1201)
    features = layers.time_features(t, 128)
    chex.assert_shape(features, (1201, 128))
    assert jnp.max(jnp.abs(features)) <= 1
    assert jnp.min(jnp.linalg.norm(jnp.diff(features, axis=0), axis=-1)) > 0.1


def test_each_layer_has_its_own_keys_and_values(drawn):
    project = layers.ContextProjection(num_layers=3, num_heads=N, head_width=H)
    context = normal(7, B, S, D)
    key_values = jax.jit(project.apply)(drawn(project, context), context)
    chex.assert_shape(key_values, (3, 2, B, S, N, H))
    flat = np.asarray(key_values).reshape(6, -1)
    assert np.max(np.abs(np.corrcoef(flat) - np.eye(6))) < 0.9
