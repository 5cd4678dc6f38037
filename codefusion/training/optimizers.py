"""Optimizers a config can name, each with its learning rate over a stage."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib


class Optimizer(NamedTuple):
    """A gradient transformation and the learning rate it applies.

    Attributes:
      transform: optax transformation; its update is what is added to the parameters.
      learning_rate: maps the stage's step, int32[], to the rate used, float32[].
    """

    transform: optax.GradientTransformation
    learning_rate: Callable[[jax.Array], jax.Array]


def _cosine(progress, past_warmup):
    del past_warmup
    return 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def _linear(progress, past_warmup):
    del past_warmup
    return 1.0 - progress


def _constant(progress, past_warmup):
    del past_warmup
    return jnp.ones_like(progress)


def _rsqrt(progress, past_warmup):
    del progress
    return jax.lax.rsqrt(past_warmup)


# Each maps (share of the steps after warm-up that are over, steps so far in units of
# the warm-up, at least 1) to a factor that falls from 1.
DECAYS = {"cosine": _cosine, "linear": _linear, "constant": _constant, "rsqrt": _rsqrt}


def warmup_then_decay(*, peak, warmup_steps, num_steps, decay, final_fraction):
    """Returns the learning rate as a function of the stage's step.

    The rate climbs linearly to `peak` over `warmup_steps` (the first step already has
    peak / warmup_steps, so none is wasted) and then follows `decay` down to
    `final_fraction * peak` at `num_steps`.

    Args:
      peak: highest learning rate.
      warmup_steps: steps of the climb; 0 starts at the peak.
      num_steps: steps of the whole stage.
      decay: a key of `DECAYS`.
      final_fraction: share of the peak that the decay never goes below.

    Returns:
      A function from the step, int32[], to the rate, float32[].
    """
    warmup = max(warmup_steps, 1)
    decay_steps = max(num_steps - warmup_steps, 1)

    def learning_rate(step):
        step = jnp.asarray(step).astype(jnp.float32)
        progress = jnp.clip((step - warmup_steps) / decay_steps, 0.0, 1.0)
        factor = DECAYS[decay](progress, jnp.maximum(step / warmup, 1.0))
        factor = final_fraction + (1.0 - final_fraction) * factor
        return peak * factor * jnp.minimum((step + 1.0) / warmup, 1.0)

    return learning_rate


def decays(params) -> Any:
    """Returns which parameters weight decay applies to: matrices, not biases or scales.

    The name decides beside the rank because scanned layers stack their biases into
    matrices.

    Args:
      params: parameter tree.

    Returns:
      A tree of bool with the structure of `params`.
    """

    def is_matrix(path, leaf):
        name = getattr(path[-1], "key", None) if path else None
        return jnp.ndim(leaf) >= 2 and name not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(is_matrix, params)


@dataclasses.dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay, clipping by global norm and warm-up.

    Attributes:
      learning_rate: the peak, reached at the end of the warm-up.
      warmup_steps: steps of the linear climb.
      schedule: what follows the warm-up, a key of `DECAYS`.
      final_fraction: share of the peak left at the end of the stage.
      weight_decay: decoupled decay of the matrices, times the learning rate.
      b1: decay of the first moment.
      b2: decay of the second moment.
      eps: added to the root of the second moment.
      clip_norm: largest global norm of a gradient; 0 leaves gradients as they are.
    """

    learning_rate: float = 1e-3
    warmup_steps: int = 100
    schedule: str = "cosine"
    final_fraction: float = 0.1
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.98
    eps: float = 1e-8
    clip_norm: float = 1.0

    def __post_init__(self):
        if self.schedule not in DECAYS:
            raise ValueError(
                f"optimizer.schedule is {self.schedule!r}; "
                f"expected one of {sorted(DECAYS)}."
            )
        for name in ("b1", "b2"):
            _check(self, name, 0.0 <= getattr(self, name) < 1.0, "at least 0, below 1")
        for name in ("learning_rate", "eps"):
            _check(self, name, getattr(self, name) > 0, "above 0")
        for name in ("warmup_steps", "weight_decay", "clip_norm"):
            _check(self, name, getattr(self, name) >= 0, "0 or more")
        _check(self, "final_fraction", 0 <= self.final_fraction <= 1, "from 0 to 1")

    def build(self, num_steps: int) -> Optimizer:
        """Returns the optimizer of a stage of `num_steps` steps."""
        learning_rate = warmup_then_decay(
            peak=self.learning_rate,
            warmup_steps=self.warmup_steps,
            num_steps=num_steps,
            decay=self.schedule,
            final_fraction=self.final_fraction,
        )
        adamw = optax.adamw(
            learning_rate,
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            mask=decays,
        )
        if not self.clip_norm:
            return Optimizer(adamw, learning_rate)
        clip = optax.clip_by_global_norm(self.clip_norm)
        return Optimizer(optax.chain(clip, adamw), learning_rate)


@dataclasses.dataclass(frozen=True)
class Muon:
    """Orthogonalised momentum for the layers' matrices, AdamW for the rest.

    Muon (Jordan et al. 2024) with updates scaled to AdamW's size (Liu et al. 2025,
    section 2.2), so that one learning rate serves both; both take Nesterov's momentum.
    Matrices outside the layers (embeddings, positions, projections of the context, the
    vocabulary) and everything that is no matrix stay with AdamW.

    Attributes:
      learning_rate, warmup_steps, schedule, final_fraction, weight_decay, b1, b2,
        clip_norm: as in `AdamW`.
      momentum: decay of Muon's momentum.
      newton_schulz_steps: of the iteration that makes an update orthogonal; Jordan's
        are 5, and 3 do as well on small models.
    """

    learning_rate: float = 4e-3
    warmup_steps: int = 40
    schedule: str = "cosine"
    final_fraction: float = 0.05
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.98
    clip_norm: float = 1.0
    momentum: float = 0.9
    newton_schulz_steps: int = 3

    def __post_init__(self):
        self._adamw()  # holds the shared settings to their ranges
        _check(self, "momentum", 0.0 <= self.momentum < 1.0, "at least 0, below 1")
        _check(self, "newton_schulz_steps", self.newton_schulz_steps >= 1, "1 or more")

    def build(self, num_steps: int) -> Optimizer:
        """Returns the optimizer of a stage of `num_steps` steps."""
        learning_rate = self._adamw().build(num_steps).learning_rate
        downhill = optax.contrib.muon(
            1.0,
            ns_steps=self.newton_schulz_steps,
            beta=self.momentum,
            adam_b1=self.b1,
            adam_b2=self.b2,
            muon_weight_dimension_numbers=muon_dimensions,
            consistent_rms=0.2,
        )
        # Decay comes after: optax's Muon would let its AdamW half decay biases too.
        decay = optax.add_decayed_weights(-self.weight_decay, mask=decays)
        parts = [downhill, decay, optax.scale_by_schedule(learning_rate)]
        if self.clip_norm:
            parts.insert(0, optax.clip_by_global_norm(self.clip_norm))
        return Optimizer(optax.chain(*parts), learning_rate)

    def _adamw(self):
        shared = {f.name for f in dataclasses.fields(AdamW)}
        names = [f.name for f in dataclasses.fields(self) if f.name in shared]
        return AdamW(**{name: getattr(self, name) for name in names})


def muon_dimensions(params) -> Any:
    """Returns which axes of a parameter Muon makes orthogonal; None leaves it to AdamW.

    Args:
      params: parameter tree.

    Returns:
      A tree of `MuonDimensionNumbers` or None with the structure of `params`.
    """

    def dimensions(path, leaf):
        names = [getattr(part, "key", "") for part in path]
        inside = any(name.startswith("layer") or name == "layers" for name in names)
        if names[-1:] != ["kernel"] or not inside or leaf.ndim < 2:
            return None
        return optax.contrib.MuonDimensionNumbers(leaf.ndim - 2, leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(dimensions, params)


def _check(section, name, holds, expected):
    if not holds:
        value = getattr(section, name)
        raise ValueError(f"optimizer.{name} is {value!r}; expected {expected}.")


OPTIMIZERS = {"adamw": AdamW, "muon": Muon}
