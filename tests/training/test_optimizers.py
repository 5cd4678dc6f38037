import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from codefusion.training import optimizers


def rates(num_steps=100, **options):
    optimizer = optimizers.AdamW(**options).build(num_steps)
    return np.array([optimizer.learning_rate(n) for n in range(num_steps + 1)])


@pytest.mark.parametrize("schedule", sorted(optimizers.DECAYS))
def test_the_rate_climbs_to_the_peak_and_never_rises_again(schedule):
    rate = rates(learning_rate=0.5, warmup_steps=20, schedule=schedule)
    assert rate[0] > 0.0
    assert np.all(np.diff(rate[:20]) > 0)
    assert rate[19] == pytest.approx(0.5)
    assert np.all(np.diff(rate[20:]) <= 1e-7)
    assert rate.max() <= 0.5 * (1 + 1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_rate_ends_at_the_final_fraction(schedule):
    options = dict(learning_rate=0.5, warmup_steps=20, final_fraction=0.2)
    rate = rates(schedule=schedule, **options)
    assert rate[100] == pytest.approx(0.2 * 0.5, rel=1e-5)


def test_without_warmup_the_first_step_has_the_peak():
    rate = rates(learning_rate=0.5, warmup_steps=0)
    assert rate[0] == pytest.approx(0.5)


def test_a_stage_shorter_than_its_warmup_only_climbs():
    rate = rates(num_steps=10, warmup_steps=100, learning_rate=1.0)
    np.testing.assert_allclose(rate, np.arange(1, 12) / 100, rtol=1e-6)


def test_the_rate_reported_is_the_rate_applied():
    # With one constant gradient Adam moves by exactly the learning rate.
    options = dict(warmup_steps=3, weight_decay=0.0, clip_norm=0.0, learning_rate=0.1)
    optimizer = optimizers.AdamW(**options).build(10)
    param = jnp.array(0.0)
    state = optimizer.transform.init(param)
    for n in range(10):
        update, state = optimizer.transform.update(jnp.array(2.0), state, param)
        assert -update == pytest.approx(float(optimizer.learning_rate(n)), rel=1e-4)


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_only_matrices_decay(name):
    options = dict(weight_decay=1.0, learning_rate=0.1, warmup_steps=0)
    optimizer = optimizers.OPTIMIZERS[name](**options).build(10)
    params = {
        "dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
        "scanned": {"kernel": jnp.ones((4, 2, 3)), "bias": jnp.ones((4, 3))},
        "norm": {"scale": jnp.ones((4, 3))},
    }
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = optimizer.transform.init(params)
    updates, _ = optimizer.transform.update(zeros, state, params)
    params = optax.apply_updates(params, updates)
    assert np.allclose(params["dense"]["kernel"], 0.9)
    assert np.allclose(params["scanned"]["kernel"], 0.9)
    for kept in (params["dense"], params["scanned"], params["norm"]):
        for name in set(kept) - {"kernel"}:
            assert np.all(kept[name] == 1.0)


def test_the_first_update_ignores_how_far_a_gradient_exceeds_the_clip():
    optimizer = optimizers.AdamW(clip_norm=1.0, warmup_steps=0).build(10)
    param = jnp.ones(3)
    grads = jnp.array([3.0, 4.0, 0.0])
    _, once = optimizer.transform.update(grads, optimizer.transform.init(param), param)
    _, tenfold = optimizer.transform.update(
        10 * grads, optimizer.transform.init(param), param
    )
    for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(tenfold), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(schedule="cosin"),
        dict(learning_rate=0.0),
        dict(warmup_steps=-1),
        dict(b2=1.0),
        dict(final_fraction=1.5),
        dict(clip_norm=-1.0),
    ],
)
@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_a_setting_out_of_range_names_its_key(name, wrong):
    with pytest.raises(ValueError, match=f"optimizer.{next(iter(wrong))} is"):
        optimizers.OPTIMIZERS[name](**wrong)


@pytest.mark.parametrize("wrong", [dict(momentum=1.0), dict(newton_schulz_steps=0)])
def test_muons_own_settings_out_of_range_name_their_key(wrong):
    with pytest.raises(ValueError, match=f"optimizer.{next(iter(wrong))} is"):
        optimizers.Muon(**wrong)


def test_an_optimizer_is_an_immutable_value():
    assert optimizers.AdamW(b1=0.8) == optimizers.OPTIMIZERS["adamw"](b1=0.8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        optimizers.AdamW().b1 = 0.1


def test_muon_takes_the_matrices_of_layers_and_adamw_the_rest():
    tree = {
        "embedding": jnp.ones((4, 3)),
        "stack": {
            "layer_0": {"in": {"kernel": jnp.ones((3, 3))}, "norm": jnp.ones(3)},
            "layers": {"in": {"kernel": jnp.ones((2, 3, 5))}},
        },
        "head": {"kernel": jnp.ones((3, 4))},
    }
    chosen = optimizers.muon_dimensions(tree)
    assert chosen["embedding"] is None and chosen["head"]["kernel"] is None
    assert chosen["stack"]["layer_0"]["norm"] is None
    assert tuple(chosen["stack"]["layer_0"]["in"]["kernel"]) == (0, 1)
    assert tuple(chosen["stack"]["layers"]["in"]["kernel"]) == (1, 2)


def test_muon_lowers_a_quadratic():
    target = jax.random.normal(jax.random.key(0), (4, 6))
    params = {"layer_0": {"kernel": jnp.zeros((4, 6))}, "bias": jnp.zeros(6)}

    def loss(params):
        error = params["layer_0"]["kernel"] + params["bias"][None] - target
        return jnp.sum(jnp.square(error))

    muon = optimizers.Muon(learning_rate=0.5, warmup_steps=1).build(100).transform

    @jax.jit
    def step(params, state):
        updates, state = muon.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state, start = muon.init(params), loss(params)
    for _ in range(100):
        params, state = step(params, state)
    assert loss(params) < 0.05 * start


def evenness(newton_schulz_steps):
    """Returns the smallest singular value of Muon's update over the largest."""
    left, right = (
        np.linalg.qr(m)[0] for m in np.random.default_rng(0).normal(size=(2, 4, 4))
    )
    gradient = jnp.asarray(left @ np.diag([1.0, 0.6, 0.3, 0.1]) @ right, jnp.float32)
    params = {"layer_0": {"kernel": jnp.zeros((4, 4))}}
    options = dict(newton_schulz_steps=newton_schulz_steps, weight_decay=0.0)
    muon = optimizers.Muon(**options, warmup_steps=0).build(10).transform
    grads = {"layer_0": {"kernel": gradient}}
    updates, _ = jax.jit(muon.update)(grads, muon.init(params), params)
    sizes = np.linalg.svd(updates["layer_0"]["kernel"], compute_uv=False)
    return sizes.min() / sizes.max()


def test_newton_schulz_steps_make_muons_update_nearly_orthogonal():
    # The gradient's own evenness is 0.1; the steps after the first few only keep it.
    assert 0.1 < evenness(1) < 0.5 < min(map(evenness, (3, 5, 8)))
