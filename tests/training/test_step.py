import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion.training import step as training_step
from codefusion.training.optimizers import AdamW


def noisy_loss(params, batch, key):
    """A linear fit whose inputs are dropped at random, as dropout would."""
    kept = jax.random.bernoulli(key, 0.8, batch["inputs"].shape)
    outputs = jnp.where(kept, batch["inputs"], 0.0) @ params["kernel"] + params["bias"]
    error = jnp.mean(jnp.square(outputs - batch["outputs"]))
    size = jnp.sum(jnp.square(params["kernel"]))
    return error + 1e-3 * size, {"error": error, "size": size}


def make_batch(seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(16, 4)).astype(np.float32)
    return {"inputs": inputs, "outputs": inputs @ np.ones((4, 2), np.float32)}


def make_params():
    kernel = jax.random.normal(jax.random.key(1), (4, 2))
    return {"kernel": kernel, "bias": jnp.zeros((1, 2))}


def start(optimizer, loss_fn=noisy_loss, **options):
    state = training_step.init_state(make_params(), optimizer)
    step = training_step.make_train_step(loss_fn, optimizer, ema_decay=0.99, **options)
    return state, step


def host(tree):
    return jax.tree.map(np.array, tree)


def assert_bit_identical(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.fixture
def optimizer():
    return AdamW(learning_rate=0.05, warmup_steps=5).build(200)


def test_the_loss_falls(optimizer):
    state, step = start(optimizer)
    losses = []
    for n in range(150):
        state, metrics = step(state, make_batch(n), jax.random.key(0))
        losses.append(float(metrics["error"]))
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])


def test_a_step_counts_and_reports_every_part(optimizer):
    state, step = start(optimizer)
    state, metrics = step(state, make_batch(), jax.random.key(0))
    assert int(state.step) == 1
    parts, norms = {"loss", "error", "size"}, {"grad_norm", "update_norm"}
    flags = {"finite", "kept"}
    assert set(metrics) == parts | norms | flags | {"learning_rate", "leaf_norms"}
    assert metrics["learning_rate"] == optimizer.learning_rate(0)
    assert bool(metrics["finite"]) and bool(metrics["kept"])


def test_the_norms_by_parameter_make_up_the_norm_of_the_gradient(optimizer):
    state, step = start(optimizer)
    _, metrics = step(state, make_batch(), jax.random.key(0))
    assert metrics["leaf_norms"].shape == (2,)
    total = np.sqrt(np.sum(np.square(metrics["leaf_norms"])))
    assert total == pytest.approx(float(metrics["grad_norm"]), rel=1e-6)


def quiet_loss(params, batch, key):
    """A linear fit that draws nothing."""
    outputs = batch["inputs"] @ params["kernel"] + params["bias"]
    return jnp.mean(jnp.square(outputs - batch["outputs"])), {}


@pytest.mark.parametrize("microbatches", [2, 8])
def test_microbatches_make_the_update_of_the_whole_batch(optimizer, microbatches):
    found = []
    for count in (1, microbatches):
        state, step = start(optimizer, loss_fn=quiet_loss, microbatches=count)
        found.append(step(state, make_batch(), jax.random.key(0)))
    (whole, expected), (parts, metrics) = found
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert metrics["loss"] == pytest.approx(float(expected["loss"]), rel=1e-6)


def test_each_microbatch_draws_for_itself(optimizer):
    seen = []

    def loss(params, batch, key):
        jax.debug.callback(lambda x: seen.append(float(x)), jax.random.normal(key))
        return quiet_loss(params, batch, key)

    state, step = start(optimizer, loss_fn=loss, microbatches=4)
    jax.block_until_ready(step(state, make_batch(), jax.random.key(0)))
    assert len(set(seen)) == 4


def test_a_state_is_typed_as_a_step_returns_it_so_that_one_program_serves(optimizer):
    weak = jax.jit(lambda: jnp.broadcast_to(0.0, (1, 2)))()
    assert weak.weak_type
    state = training_step.init_state({**make_params(), "bias": weak}, optimizer)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


def test_the_same_step_twice_is_the_same_to_the_bit(optimizer):
    first, step = start(optimizer)
    second, _ = start(optimizer)
    first, _ = step(first, make_batch(), jax.random.key(0))
    second, _ = step(second, make_batch(), jax.random.key(0))
    assert_bit_identical(first, second)


def test_what_a_step_draws_depends_on_seed_and_step(optimizer):
    def draw(seed, at):
        state, step = start(optimizer)
        state = state._replace(step=jnp.asarray(at, jnp.int32))
        return float(step(state, make_batch(), jax.random.key(seed))[1]["error"])

    assert draw(0, 0) == draw(0, 0)
    assert len({draw(0, 0), draw(0, 1), draw(1, 0), draw(1, 1)}) == 4


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_a_non_finite_step_changes_nothing_but_the_count(optimizer, poison):
    state, step = start(optimizer)
    state, _ = step(state, make_batch(), jax.random.key(0))
    before = host(state)
    batch = make_batch()
    batch["inputs"][3, 1] = poison
    state, metrics = step(state, batch, jax.random.key(0))
    assert not bool(metrics["finite"]) and not bool(metrics["kept"])
    assert int(state.step) == 2
    assert_bit_identical(before._replace(step=np.int32(2)), state)


def test_a_gradient_that_is_not_finite_is_caught_under_a_finite_loss(optimizer):
    def loss(params, batch, key):
        # sqrt has slope infinity at 0.
        return jnp.sqrt(jnp.sum(jnp.square(params["kernel"]))), {}

    params = {"kernel": jnp.zeros((2, 2))}
    state = training_step.init_state(params, optimizer)
    step = training_step.make_train_step(loss, optimizer, ema_decay=0.9)
    state, metrics = step(state, {}, jax.random.key(0))
    assert np.isfinite(metrics["loss"]) and not bool(metrics["finite"])
    assert np.all(np.asarray(state.params["kernel"]) == 0)


def test_the_average_forgets_its_start_and_then_lags(optimizer):
    state, step = start(optimizer)
    initial = host(state.params)
    for n in range(60):
        state, _ = step(state, make_batch(n), jax.random.key(0))
    moved, ema, last = initial["kernel"], state.ema_params, state.params
    travelled = np.linalg.norm(np.asarray(last["kernel"]) - moved)
    behind = np.linalg.norm(np.asarray(last["kernel"] - ema["kernel"]))
    assert 0.0 < behind < 0.5 * travelled


def test_the_average_of_constant_parameters_is_that_constant():
    params = {"kernel": jnp.full((2, 2), 0.3)}
    ema = params
    for n in range(20):
        decay = training_step.ema_decay_at(n, decay=0.999)
        ema = training_step.average(ema, params, decay=decay)
    assert_bit_identical(ema, params)


def test_the_decay_rises_to_its_limit():
    decay = np.array([training_step.ema_decay_at(n, decay=0.9) for n in range(200)])
    assert decay[0] == pytest.approx(0.1)
    assert np.all(np.diff(decay) >= 0)
    assert decay[-1] == pytest.approx(0.9)


def test_a_later_stage_starts_its_schedules_anew(optimizer):
    _, step = start(optimizer, first_step=70)
    state = training_step.init_state(make_params(), optimizer, step=70)
    state, metrics = step(state, make_batch(), jax.random.key(0))
    assert metrics["learning_rate"] == optimizer.learning_rate(0)
    assert int(state.step) == 71


def test_the_state_shares_no_buffer_with_the_callers_parameters(optimizer):
    params = make_params()
    state = training_step.init_state(params, optimizer)
    step = training_step.make_train_step(noisy_loss, optimizer, ema_decay=0.9)
    step(state, make_batch(), jax.random.key(0))
    assert np.all(np.isfinite(np.asarray(params["kernel"])))
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(state.params["kernel"])
