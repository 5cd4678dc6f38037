"""From the last estimate of x0 to tokens, and what happens to it on the way.

CodeFusion reads tokens from a decoder (Singh et al. 2023). Two older ways serve its
ablation: the nearest token embedding once at the end ("grounding"), or at every step
("clamping", Li et al. 2022; so does GENIE, Lin et al. 2023).
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class DecoderRounding:
    """Tokens come from the decoder and head; the estimates are left as they are."""

    reads_decoder = True

    def __call__(self, x0_hat, table):
        """Returns x0_hat.

        Args:
          x0_hat: the estimate, float32[R, L, E].
          table: token embeddings at unit RMS, float32[V, E]; not read.
        """
        del table
        return x0_hat


@dataclasses.dataclass(frozen=True)
class Grounding(DecoderRounding):
    """Tokens are those of the nearest embeddings to the last estimate."""

    reads_decoder = False


@dataclasses.dataclass(frozen=True)
class Clamping(Grounding):
    """Every estimate is moved to its nearest embeddings before the step is taken."""

    def __call__(self, x0_hat, table):
        """Returns the nearest embeddings, float32[R, L, E].

        Args:
          x0_hat: the estimate, float32[R, L, E].
          table: token embeddings at unit RMS, float32[V, E].
        """
        return table[jnp.argmax(nearest_log_probs(x0_hat, table), axis=-1)]


def nearest_log_probs(x0_hat, table):
    """Returns log-probabilities that fall with squared distance, float32[R, L, V].

    Args:
      x0_hat: float32[R, L, E].
      table: token embeddings at unit RMS, float32[V, E].
    """
    chex.assert_rank([x0_hat, table], [3, 2])
    chex.assert_equal_shape_suffix([x0_hat, table], 1)
    product = jnp.einsum("rle,ve->rlv", x0_hat, table)
    length = 0.5 * jnp.sum(jnp.square(table), axis=-1)[None, None]
    return jax.nn.log_softmax(product - length, axis=-1)


ROUNDINGS = {
    "decoder": DecoderRounding,
    "grounding": Grounding,
    "clamping": Clamping,
}
