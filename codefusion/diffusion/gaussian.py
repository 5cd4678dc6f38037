"""The forward process and the conversions between prediction targets.

    xt = a(t) x0 + sigma(t) noise,        a(t) = c alpha(t),                    (1)
    network input = xt / sqrt(a(t)^2 + sigma(t)^2).                             (3)

c is the embedding scale: x0 has unit RMS per dimension, and c decides how much of
time its tokens are legible for. Since only the ratio a : sigma enters a posterior,
every equation below is that of a general Gaussian process with rates (a, sigma):

    noise    = (xt - a x0) / sigma
    score    = -noise / sigma
    velocity = a noise - sigma x0         (Salimans and Ho 2022, with a for alpha)
"""

import dataclasses

import chex
import jax.numpy as jnp

from codefusion.diffusion import schedules


def noise_between(xt, x0, a, sigma):
    """Returns the noise that takes x0 to xt at given rates, float32[B, L, E].

    Args:
      xt: noised embeddings, float32[B, L, E].
      x0: clean embeddings, float32[B, L, E].
      a: scaled signal rate of eq. (1), float32[B, 1, 1], or a scalar.
      sigma: noise rate, of a's shape.
    """
    return (xt - a * x0) / sigma


@dataclasses.dataclass(frozen=True)
class GaussianProcess:
    """A schedule and an embedding scale.

    Attributes:
      schedule: gives alpha(t) and sigma(t).
      embedding_scale: c of eq. (1); positive.
    """

    schedule: schedules.Schedule
    embedding_scale: float = 1.0

    def __post_init__(self):
        if not self.embedding_scale > 0:
            raise ValueError(
                "diffusion.embedding_scale must be positive, "
                f"got {self.embedding_scale!r}."
            )

    def rates(self, t):
        """Returns (a(t), sigma(t)), float32 of t's shape.

        Args:
          t: diffusion time, float32 of any shape.
        """
        return self.embedding_scale * self.schedule.alpha(t), self.schedule.sigma(t)

    def half_log_snr(self, t):
        """Returns log(a(t) / sigma(t)), float32 of t's shape.

        Args:
          t: diffusion time, float32 of any shape.
        """
        a, sigma = self.rates(t)
        return jnp.log(a / sigma)

    def add_noise(self, x0, t, *, noise):
        """Returns a draw from q(xt | x0), eq. (1).

        Args:
          x0: clean embeddings, float32[B, L, E].
          t: diffusion time, float32[B].
          noise: a standard normal draw, float32[B, L, E].

        Returns:
          Noised embeddings, float32[B, L, E].
        """
        a, sigma = self._rates_for(t, x0, noise)
        return a * x0 + sigma * noise

    def network_input(self, xt, t):
        """Returns xt scaled to unit variance, eq. (3).

        Args:
          xt: noised embeddings, float32[B, L, E].
          t: diffusion time, float32[B].

        Returns:
          What the network sees, float32[B, L, E].
        """
        a, sigma = self._rates_for(t, xt)
        return xt / jnp.sqrt(jnp.square(a) + jnp.square(sigma))

    def noise_from_x0(self, xt, x0, t):
        """Returns the noise that takes x0 to xt.

        Args:
          xt: noised embeddings, float32[B, L, E].
          x0: clean embeddings, float32[B, L, E].
          t: diffusion time, float32[B].

        Returns:
          float32[B, L, E].
        """
        return noise_between(xt, x0, *self._rates_for(t, xt, x0))

    def x0_from_noise(self, xt, noise, t):
        """Returns the x0 from which noise leads to xt.

        Args:
          xt: noised embeddings, float32[B, L, E].
          noise: the noise in them, float32[B, L, E].
          t: diffusion time, float32[B].

        Returns:
          float32[B, L, E].
        """
        a, sigma = self._rates_for(t, xt, noise)
        return (xt - sigma * noise) / a

    def score_from_x0(self, xt, x0, t):
        """Returns the score of q(xt | x0).

        Args:
          xt: noised embeddings, float32[B, L, E].
          x0: clean embeddings, float32[B, L, E].
          t: diffusion time, float32[B].

        Returns:
          float32[B, L, E].
        """
        _, sigma = self._rates_for(t, xt, x0)
        return -self.noise_from_x0(xt, x0, t) / sigma

    def x0_from_score(self, xt, score, t):
        """Returns x0 by Tweedie's formula.

        Args:
          xt: noised embeddings, float32[B, L, E].
          score: of q(xt | x0), float32[B, L, E].
          t: diffusion time, float32[B].

        Returns:
          float32[B, L, E].
        """
        _, sigma = self._rates_for(t, xt, score)
        return self.x0_from_noise(xt, -sigma * score, t)

    def velocity_from_x0(self, xt, x0, t):
        """Returns the velocity, a noise - sigma x0.

        Args:
          xt: noised embeddings, float32[B, L, E].
          x0: clean embeddings, float32[B, L, E].
          t: diffusion time, float32[B].

        Returns:
          float32[B, L, E].
        """
        a, sigma = self._rates_for(t, xt, x0)
        return a * self.noise_from_x0(xt, x0, t) - sigma * x0

    def x0_from_velocity(self, xt, velocity, t):
        """Returns x0 = (a xt - sigma velocity) / (a^2 + sigma^2).

        Args:
          xt: noised embeddings, float32[B, L, E].
          velocity: a noise - sigma x0, float32[B, L, E].
          t: diffusion time, float32[B].

        Returns:
          float32[B, L, E].
        """
        a, sigma = self._rates_for(t, xt, velocity)
        return (a * xt - sigma * velocity) / (jnp.square(a) + jnp.square(sigma))

    def _rates_for(self, t, *embeddings):
        """Returns the rates at t, float32[B, 1, 1], of embeddings that are checked."""
        chex.assert_rank(embeddings, 3)
        chex.assert_equal_shape(embeddings)
        chex.assert_shape(t, embeddings[0].shape[:1])
        return self.rates(t[:, None, None])
