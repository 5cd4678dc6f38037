"""One training step: gradient, update, moving average.

params' = params + update(gradient of the loss)
ema' = d ema + (1 - d) params',  d = min(decay, (1 + n) / (10 + n)) at update n,   (9)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from codefusion import sharding
from codefusion.training.optimizers import Optimizer

# (params, batch, key) -> (loss float32[], its named parts {name: float32[]})
LossFn = Callable[[Any, Any, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]


class TrainState(NamedTuple):
    """All that a step changes, as one tree of arrays.

    Attributes:
      step: updates made since the start of the run, over all stages, int32[].
      params: trained parameters.
      ema_params: moving average of the parameters, which is what is evaluated.
      opt_state: the optimizer's state.
    """

    step: jax.Array
    params: Any
    ema_params: Any
    opt_state: Any


def init_state(params, optimizer: Optimizer, *, step=0) -> TrainState:
    """Returns the state a stage starts from: new optimizer, average at `params`.

    The parameters are copied, because a step is donated its state and no buffer may
    be donated twice or be taken from the caller. None stays weakly typed, as a step
    returns none: it would be compiled for both.

    Args:
      params: parameter tree.
      optimizer: the stage's optimizer.
      step: updates made in earlier stages.

    Returns:
      A `TrainState` that shares no buffer with `params`.
    """
    params = jax.tree.map(lambda x: jnp.array(x, x.dtype), params)
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params=params,
        ema_params=jax.tree.map(jnp.array, params),
        opt_state=optimizer.transform.init(params),
    )


def ema_decay_at(num_updates, *, decay):
    """Returns the decay of eq. (9): small at first, so that the start is forgotten.

    Args:
      num_updates: updates made before this one in the stage, int32[].
      decay: the decay that is reached in the end.

    Returns:
      The decay of this update, float32[].
    """
    n = jnp.asarray(num_updates).astype(jnp.float32)
    return jnp.minimum(decay, (1.0 + n) / (10.0 + n))


def make_train_step(
    loss_fn: LossFn,
    optimizer: Optimizer,
    *,
    ema_decay: float,
    first_step: int = 0,
    microbatches: int = 1,
):
    """Returns the compiled step `(state, batch, key) -> (state, metrics)`.

    `key` is the run's key: what step n draws comes from `fold_in(key, n)`, so that it
    depends on the seed and the step alone. A loss or gradient that is not finite
    leaves everything but `step` as it was; then, and for an update that is not finite,
    `metrics["finite"]` is False. The state is donated: use the returned one. Under a
    mesh (`jax.set_mesh`) it stays laid out as `sharding.state_shardings` says.

    Args:
      loss_fn: `(params, batch, key) -> (loss, parts)`, float32[] and {name: float32[]}.
      optimizer: the stage's optimizer.
      ema_decay: decay of the moving average once warm, eq. (9).
      first_step: value of `state.step` when the stage starts.
      microbatches: parts of a batch whose gradients are computed one after the other
        and averaged; it divides the batch.

    Returns:
      A jitted function; its metrics are `loss` and its parts, `grad_norm`,
      `update_norm` and `learning_rate`, float32[], `finite` and `kept` (whether the
      update was made), bool[], and `leaf_norms`, of the gradient by each parameter in
      the order of `jax.tree.leaves`, float32[P].
    """

    def train_step(state, batch, key):
        gradient = jax.value_and_grad(loss_fn, has_aux=True)
        step_key = jax.random.fold_in(key, state.step)
        (loss, parts), grads = _accumulate(
            gradient, microbatches, state.params, batch, step_key
        )
        chex.assert_shape(loss, ())
        grads = sharding.constrain_state(grads)

        update = optimizer.transform.update
        updates, opt_state = update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = ema_decay_at(state.step - first_step, decay=ema_decay)
        ema_params = average(state.ema_params, params, decay=decay)

        updated = TrainState(state.step + 1, params, ema_params, opt_state)
        # Not on the update's norm: waiting for it would cost a second pass over all.
        leaf_norms = jnp.stack([optax.tree.norm(x) for x in jax.tree.leaves(grads)])
        grad_norm, update_norm = jnp.linalg.norm(leaf_norms), optax.tree.norm(updates)
        kept = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        unchanged = state._replace(step=updated.step)
        new_state = jax.tree.map(lambda a, b: jnp.where(kept, a, b), updated, unchanged)
        metrics = {
            "loss": loss,
            **parts,
            "grad_norm": grad_norm,
            "update_norm": update_norm,
            "learning_rate": optimizer.learning_rate(state.step - first_step),
            "finite": kept & jnp.isfinite(update_norm),
            "kept": kept,
            "leaf_norms": leaf_norms,
        }
        return sharding.constrain_state(new_state), metrics

    return jax.jit(train_step, donate_argnums=0)


def _accumulate(gradient, microbatches, params, batch, key):
    """Returns `gradient(params, batch, key)`, averaged over parts of the batch."""
    if microbatches == 1:
        return gradient(params, batch, key)

    def split(x):
        # Every device keeps its rows: a part takes some of each device's.
        x = x.reshape(-1, microbatches, *x.shape[1:])
        x = jnp.moveaxis(x, 1, 0)
        return sharding.constrain(x, None, "batch", *[None] * (x.ndim - 2))

    def add(total, part):
        index, rows = part
        found = gradient(params, rows, jax.random.fold_in(key, index))
        total = jax.tree.map(lambda a, b: a + b / microbatches, total, found)
        return total, None

    parts = jnp.arange(microbatches), jax.tree.map(split, batch)
    first = jax.tree.map(lambda x: x[0], parts[1])
    shapes = jax.eval_shape(gradient, params, first, key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.scan(add, zeros, parts)[0]


def average(ema_params, params, *, decay):
    """Returns the moving average after taking in `params`, eq. (9).

    Args:
      ema_params: the average so far, a tree of arrays.
      params: a tree of the same structure.
      decay: weight of the average so far, float32[].

    Returns:
      A tree of the same structure.
    """

    def mix(old, new):
        return old + (1.0 - decay).astype(new.dtype) * (new - old)

    return jax.tree.map(mix, ema_params, params)
