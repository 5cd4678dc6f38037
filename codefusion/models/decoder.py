"""The decoder and its heads: clean embeddings to tokens, all positions at once."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion import sharding
from codefusion.models import blocks, denoiser, layers
from pallas_kernels.attention import xla


class Decoder(nn.Module):
    """The same block as the denoiser's, without time.

    Attributes:
      stack: fields of `blocks.Stack` beside max_length and dtype.
      max_length: the longest L.
    """

    width: int
    stack: dict
    max_length: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x0_hat, key_values, source_mask, *, deterministic=True, position=None
    ):
        """Returns the hidden states, [B, L, D].

        Args:
          x0_hat: float32[B, L, E].
          key_values: of the context, [layers, 2, B, S, N, H].
          source_mask: bool[B, S].
          deterministic: False draws dropout from the "dropout" stream.
          position: of a single L; see `blocks.SelfAttention`.
        """
        x = layers.Dense(self.width, dtype=self.dtype, name="in")(
            x0_hat.astype(self.dtype)
        )
        first = 0 if position is None else position
        x = x + denoiser.target_positions(self, x0_hat.shape[1], first)
        stack = blocks.Stack(
            **self.stack, max_length=self.max_length, dtype=self.dtype, name="stack"
        )
        return stack(
            x,
            key_values,
            source_mask,
            deterministic=deterministic,
            position=position,
        )


class TokenHead(nn.Module):
    """One linear layer and a softmax, the paper's head."""

    vocab_size: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, hidden, context, copyable, source):
        """Returns token log-probabilities, float32[B, L, V]; ignores the source."""
        del context, copyable, source
        dense = functools.partial(layers.LogitDense, dtype=self.dtype)
        logits = dense(self.vocab_size, name="vocabulary")(hidden)
        logits = sharding.constrain(logits, "batch", "length", "vocab")
        return jax.nn.log_softmax(logits, axis=-1)


class CopyHead(nn.Module):
    """A mixture of the vocabulary and a pointer into the source.

        p(y_l) = g_l softmax(W h_l)[y_l] + (1 - g_l) sum_s a_{ls} [source_s = y_l]

    with a the attention of h_l over the context (See et al. 2017, eq. 9). Names and
    numbers move from request to program, and most are rare or unknown in training.
    """

    vocab_size: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, hidden, context, copyable, source):
        """Returns token log-probabilities, float32[B, L, V].

        Args:
          hidden: decoder output, [B, L, D].
          context: encoder output, [B, S, D].
          copyable: True on source tokens that may be copied, bool[B, S].
          source: int32[B, S].
        """
        width = hidden.shape[-1]
        dense = functools.partial(layers.LogitDense, dtype=self.dtype)
        logits = dense(self.vocab_size, name="vocabulary")(hidden)
        logits = sharding.constrain(logits, "batch", "length", "vocab")
        gate = dense(1, name="gate")(hidden)
        query = layers.Dense(width, dtype=self.dtype, name="query")(hidden)
        key = layers.Dense(width, dtype=self.dtype, name="key")(context)
        # A pointer is attention of one head.
        scores = xla.scores(query[:, :, None], key[:, :, None], key_mask=copyable)
        scores = scores[:, 0]
        none = ~jnp.any(copyable, axis=-1)[:, None, None]
        stay = jnp.where(none, 1.0, jax.nn.sigmoid(gate))
        copied = scatter(jax.nn.softmax(scores, axis=-1), source, self.vocab_size)
        probs = stay * jax.nn.softmax(logits, axis=-1) + (1.0 - stay) * copied
        return jnp.log(probs + 1e-9)


def scatter(weights, source, vocab_size):
    """Returns the weights [B, L, S] summed by source token, [B, L, V]."""

    def one_row(weights, source):
        empty = jnp.zeros((weights.shape[0], vocab_size), weights.dtype)
        return empty.at[:, source].add(weights)

    return jax.vmap(one_row)(weights, source)
