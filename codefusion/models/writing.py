"""A decoder that writes from left to right, each token given those before it.

As Vaswani et al. 2017: with a whole target in one call, and token by token with cached
keys and values. `Autoregressive` has nothing else; `CodeFusion` may have it behind the
denoiser.
"""

import chex
import jax.numpy as jnp

from codefusion.models import source


class Writer(source.Reader, kw_only=True):
    """A `Reader` that writes from left to right, where its `decoder` is causal.

    Attributes:
      start_id: token that stands before the first one of a program.
    """

    start_id: int = 2

    def write(self, target, context, *, deterministic=True):
        """Returns hidden [B, L, D] and log p(y_l | y_<l), float32[B, L, V].

        Args:
          target: y, int32[B, L].
          context: from `encode`.
          deterministic: False draws dropout from the "dropout" stream.
        """
        before = jnp.pad(
            target[:, :-1], ((0, 0), (1, 0)), constant_values=self.start_id
        )
        return self._predict(before, context, deterministic=deterministic)

    def write_next(self, token, position, context):
        """Returns log p(y_l | y_<l) at one position, float32[B, V].

        It keeps keys and values of the positions so far in the collection "cache",
        which is therefore mutable, and starts empty at position 0.

        Args:
          token: y_{l-1}, the start at position 0; int32[B].
          position: l, int32[].
          context: from `encode`.
        """
        chex.assert_rank(token, 1)
        return self._predict(token[:, None], context, position=position)[1][:, 0]

    def beside(self, embedded, context, position):
        """Returns what the decoder reads of the tokens before, [B, l, any width].

        Args:
          embedded: the tokens before, float32[B, l, E].
          context: from `encode`.
          position: of a single l; None for all positions from the first.
        """
        del context, position
        return embedded

    def _predict(self, before, context, *, position=None, deterministic=True):
        hidden = self.decoder(
            self.beside(self.embed(before), context, position),
            key_values=context.decoder,
            source_mask=context.mask,
            deterministic=deterministic,
            position=position,
        )
        log_probs = self.token_head(
            hidden,
            context=context.hidden,
            copyable=context.copyable,
            source=context.source,
        )
        return hidden, log_probs
