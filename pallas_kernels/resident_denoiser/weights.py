"""What the resident denoiser reads: its weights, and one row a step."""

from typing import NamedTuple

import jax


class Weights(NamedTuple):
    """A denoiser's parameters; those of N layers are stacked.

    Widths: E is diffused, D the network's, I all heads', M the feed-forward's.

    Attributes:
      embed: from xt (and the estimate, where there is self-conditioning), [E or 2E, D].
      embed_bias: float32[1, D].
      positions: of the target, [L, D].
      self_norm, cross_norm, mlp_norm: scales, float32[N, 1, D].
      qkv: [N, D, 3I]; self_out: [N, I, D].
      query: [N, D, I]; cross_out: [N, I, D].
      mlp_in: [N, D, M]; mlp_out: [N, M, D].
      norm: float32[1, D].
      unembed: [D, E]; unembed_bias: float32[1, E].
    """

    embed: jax.Array
    embed_bias: jax.Array
    positions: jax.Array
    self_norm: jax.Array
    qkv: jax.Array
    self_out: jax.Array
    cross_norm: jax.Array
    query: jax.Array
    cross_out: jax.Array
    mlp_norm: jax.Array
    mlp_in: jax.Array
    mlp_out: jax.Array
    norm: jax.Array
    unembed: jax.Array
    unembed_bias: jax.Array

    @property
    def nbytes(self):
        """Bytes of all weights."""
        return sum(x.size * x.dtype.itemsize for x in self)


class Steps(NamedTuple):
    """A deterministic sampler: x_s = keep xt + pull x0_hat after every estimate.

    Attributes:
      time: what the time adds to every position, [steps, 1, D].
      scale: of xt before the network, float32[steps].
      keep, pull: of the update, float32[steps].
    """

    time: jax.Array
    scale: jax.Array
    keep: jax.Array
    pull: jax.Array
