"""How training draws the diffusion time of each row."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class UniformTimes:
    """Independent uniform times; `power` below 1 favours noisy ones (t = u^power)."""

    power: float = 1.0

    def __call__(self, key, batch_size):
        """Returns times in [0, 1), float32[B]."""
        return jax.random.uniform(key, (batch_size,)) ** self.power


@dataclasses.dataclass(frozen=True)
class StratifiedTimes:
    """Low-discrepancy times: one shared offset, rows evenly spaced and then shuffled.

    The time of a row is u^power with u uniform, as in `UniformTimes`, but the u of a
    batch always cover [0, 1), which lowers the variance of the loss (Kingma et al.
    2021, section I.1).
    """

    power: float = 1.0

    def __call__(self, key, batch_size):
        """Returns times in [0, 1), float32[B]."""
        offset_key, order_key = jax.random.split(key)
        offset = jax.random.uniform(offset_key)
        u = jnp.mod(offset + jnp.arange(batch_size) / batch_size, 1.0)
        return jax.random.permutation(order_key, u) ** self.power
