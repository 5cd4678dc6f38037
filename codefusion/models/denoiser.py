"""The denoiser: noised embeddings and time to clean embeddings."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion.models import blocks, layers

TIME_WIDTH = 128  # of the sinusoidal features of a time


class Denoiser(nn.Module):
    """Predicts x0 from xt with full attention over all positions.

    Attributes:
      stack: fields of `blocks.Stack` beside max_length and dtype.
      max_length: the longest L.
    """

    width: int
    embedding_width: int
    stack: dict
    max_length: int
    self_conditioning: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, xt, t, estimate, key_values, source_mask, *, deterministic=True):
        """Returns x0_hat, float32[B, L, E].

        Args:
          xt: noised embeddings at unit variance (eq. 3), float32[B, L, E].
          t: diffusion time, float32[B].
          estimate: an earlier x0_hat, or zeros, float32[B, L, E].
          key_values: of the context, [layers, 2, B, S, N, H].
          source_mask: bool[B, S].
          deterministic: False draws dropout from the "dropout" stream.
        """

        def dense(features, name, y):
            return layers.Dense(features, dtype=self.dtype, name=name)(y)

        inputs = jnp.concatenate([xt, estimate], -1) if self.self_conditioning else xt
        hidden = embed_time(dense, t, self.width)
        x = dense(self.width, "in", inputs.astype(self.dtype)) + hidden[:, None]
        x = x + target_positions(self, xt.shape[1])
        stack = blocks.Stack(
            **self.stack, max_length=self.max_length, dtype=self.dtype, name="stack"
        )
        x = stack(x, key_values, source_mask, deterministic=deterministic)
        return dense(self.embedding_width, "out", x).astype(jnp.float32)


def embed_time(dense, t, width):
    """Returns what a time adds to every position, [B, D].

    Args:
      dense: (features, name, x) -> a linear layer of x.
      t: float32[B].
      width: D.
    """
    hidden = nn.silu(dense(width, "time_in", layers.time_features(t, TIME_WIDTH)))
    return dense(width, "time_out", hidden)


def target_positions(module, length, first=0):
    """Returns learned absolute positions of a module's target, [1, length, D].

    Args:
      module: the one that has them, with max_length, width and dtype.
      length: how many.
      first: the first of them, int or int32[].
    """
    shape = module.max_length, module.width
    table = module.param("positions", nn.initializers.normal(0.02), shape)
    if isinstance(first, int):
        found = layers.first_positions(table[first:], length, kind="target")
    else:
        found = jax.lax.dynamic_slice_in_dim(table, first, length)[None]
    return found.astype(module.dtype)
