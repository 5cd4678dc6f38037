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
        """Returns (a(t), sigma(t)), float32 of t's shape."""
        return self.embedding_scale * self.schedule.alpha(t), self.schedule.sigma(t)

    def add_noise(self, x0, t, *, noise):
        """Returns a draw from q(xt | x0), eq. (1).

        Args:
          x0: clean embeddings, float32[B, L, E].
          t: diffusion time, float32[B].
          noise: a standard normal draw, float32[B, L, E].

        Returns:
          Noised embeddings, float32[B, L, E].
        """
        chex.assert_rank([x0, t], [3, 1])
        chex.assert_equal_shape([x0, noise])
        a, sigma = self.rates(t[:, None, None])
        return a * x0 + sigma * noise

    def network_input(self, xt, t):
        """Returns xt scaled to unit variance, eq. (3); float32[B, L, E]."""
        a, sigma = self.rates(t[:, None, None])
        return xt / jnp.sqrt(jnp.square(a) + jnp.square(sigma))

    def noise_from_x0(self, xt, x0, t):
        """Returns the noise that takes x0 to xt, float32[B, L, E]."""
        a, sigma = self.rates(t[:, None, None])
        return (xt - a * x0) / sigma

    def x0_from_noise(self, xt, noise, t):
        """Returns the x0 from which noise leads to xt, float32[B, L, E]."""
        a, sigma = self.rates(t[:, None, None])
        return (xt - sigma * noise) / a

    def score_from_x0(self, xt, x0, t):
        """Returns the score of q(xt | x0), float32[B, L, E]."""
        _, sigma = self.rates(t[:, None, None])
        return -self.noise_from_x0(xt, x0, t) / sigma

    def x0_from_score(self, xt, score, t):
        """Returns x0 by Tweedie's formula, float32[B, L, E]."""
        _, sigma = self.rates(t[:, None, None])
        return self.x0_from_noise(xt, -sigma * score, t)

    def velocity_from_x0(self, xt, x0, t):
        """Returns a noise - sigma x0, float32[B, L, E]."""
        a, sigma = self.rates(t[:, None, None])
        return a * self.noise_from_x0(xt, x0, t) - sigma * x0

    def x0_from_velocity(self, xt, velocity, t):
        """Returns x0 = (a xt - sigma velocity) / (a^2 + sigma^2), float32[B, L, E]."""
        a, sigma = self.rates(t[:, None, None])
        return (a * xt - sigma * velocity) / (jnp.square(a) + jnp.square(sigma))
