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
    be donated twice or be taken from the caller.

    Args:
      params: parameter tree.
      optimizer: the stage's optimizer.
      step: updates made in earlier stages.

    Returns:
      A `TrainState` that shares no buffer with `params`.
    """
    params = jax.tree.map(jnp.array, params)
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
    loss_fn: LossFn, optimizer: Optimizer, *, ema_decay: float, first_step: int = 0
):
    """Returns the compiled step `(state, batch, key) -> (state, metrics)`.

    `key` is the run's key: what step n draws comes from `fold_in(key, n)`, so that it
    depends on the seed and the step alone. A loss or gradient that is not finite
    leaves the state as it was, `step` included; then, and for an update that is
    not finite, `metrics["finite"]` is False.
    The state is donated: use the returned one.

    Args:
      loss_fn: `(params, batch, key) -> (loss, parts)`, float32[] and {name: float32[]}.
      optimizer: the stage's optimizer.
      ema_decay: decay of the moving average once warm, eq. (9).
      first_step: value of `state.step` when the stage starts.

    Returns:
      A jitted function; its metrics are `loss` and its parts, `grad_norm`,
      `update_norm` and `learning_rate`, float32[], and `finite`, bool[].
    """

    def train_step(state, batch, key):
        step_key = jax.random.fold_in(key, state.step)
        gradient = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, parts), grads = gradient(state.params, batch, step_key)
        chex.assert_shape(loss, ())

        update = optimizer.transform.update
        updates, opt_state = update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = ema_decay_at(state.step - first_step, decay=ema_decay)
        ema_params = average(state.ema_params, params, decay=decay)

        updated = TrainState(state.step + 1, params, ema_params, opt_state)
        # Not on the update's norm: waiting for it would cost a second pass over all.
        grad_norm, update_norm = optax.tree.norm(grads), optax.tree.norm(updates)
        keep = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        new_state = jax.tree.map(lambda a, b: jnp.where(keep, a, b), updated, state)
        learning_rate = optimizer.learning_rate(state.step - first_step)
        norms = dict(grad_norm=grad_norm, update_norm=update_norm)
        metrics = {"loss": loss, **parts, **norms, "learning_rate": learning_rate}
        return new_state, {**metrics, "finite": keep & jnp.isfinite(update_norm)}

    return jax.jit(train_step, donate_argnums=0)


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
