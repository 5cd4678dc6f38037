"""Noise schedules: time in [0, 1] to the rates alpha and sigma.

    alpha(t)^2 + sigma(t)^2 = 1,   log_snr(t) = 2 log(alpha(t) / sigma(t)).      (2)

t = 0 is data and t = 1 is noise. A new schedule gives `alpha_bar(t)`, the squared
signal rate; everything else follows from it.
"""

import dataclasses

import jax.numpy as jnp

# Keeps log_snr finite at both ends: |log_snr| <= 2 log(1e3) or so.
_MIN_ALPHA_BAR = 1e-6
_MAX_ALPHA_BAR = 1.0 - 1e-6


class Schedule:
    """Base of all schedules; a subclass defines `alpha_bar`."""

    def alpha_bar(self, t):
        """Returns alpha(t)^2 before clipping, float32 of t's shape."""
        raise TypeError(f"{type(self).__name__} must define alpha_bar(t).")

    def _clipped(self, t):
        t = jnp.asarray(t, jnp.float32)
        return jnp.clip(self.alpha_bar(t), _MIN_ALPHA_BAR, _MAX_ALPHA_BAR)

    def alpha(self, t):
        """Returns the signal rate, float32 of t's shape."""
        return jnp.sqrt(self._clipped(t))

    def sigma(self, t):
        """Returns the noise rate, float32 of t's shape."""
        return jnp.sqrt(1.0 - self._clipped(t))

    def log_snr(self, t):
        """Returns 2 log(alpha / sigma), float32 of t's shape."""
        squared = self._clipped(t)
        return jnp.log(squared) - jnp.log1p(-squared)


@dataclasses.dataclass(frozen=True)
class SqrtSchedule(Schedule):
    """Diffusion-LM's square-root schedule (Li et al. 2022), the paper's choice.

    alpha_bar(t) = 1 - sqrt(t + offset). The offset starts the process with a little
    noise: sigma(0) = offset^(1/4), 0.1 at the published 1e-4.
    """

    offset: float = 1e-4

    def alpha_bar(self, t):
        return 1.0 - jnp.sqrt(t + self.offset)


@dataclasses.dataclass(frozen=True)
class CosineSchedule(Schedule):
    """alpha_bar(t) = cos^2(pi t / 2) (Nichol and Dhariwal 2021, without the offset)."""

    def alpha_bar(self, t):
        return jnp.square(jnp.cos(0.5 * jnp.pi * t))


@dataclasses.dataclass(frozen=True)
class LinearSchedule(Schedule):
    """Linear beta(t) between two bounds (Ho et al. 2020 in continuous time).

    alpha_bar(t) = exp(-beta_min t - (beta_max - beta_min) t^2 / 2)
    (Song et al. 2021, eq. 33, variance preserving).
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def alpha_bar(self, t):
        slope = self.beta_max - self.beta_min
        return jnp.exp(-self.beta_min * t - 0.5 * slope * jnp.square(t))
