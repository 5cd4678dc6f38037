"""The comparison: a causal decoder in place of denoiser and decoder.

The encoder, the blocks and the heads are those of `CodeFusion`; what differs is that a
program is written from left to right, each token given those before it (Sutskever et
al. 2014; in this form Vaswani et al. 2017).
"""

import chex
import jax.numpy as jnp

from codefusion.models import decoder, source


class Autoregressive(source.Reader, kw_only=True):
    """Encoder, causal decoder and head.

    Attributes:
      decoder_layers: depth.
      start_id: token that stands before the first one of a program.
    """

    decoder_layers: int
    start_id: int = 2

    def setup(self):
        super().setup()
        self.decoder_context = self._context_projection(self.decoder_layers)
        self.decoder = decoder.Decoder(
            width=self.width,
            stack=dict(
                **self._layer_fields(),
                num_layers=self.decoder_layers,
                causal=True,
            ),
            max_length=self.max_target_length,
            dtype=self.dtype,
        )

    def __call__(self, source, source_mask, target):
        """Returns `write` of a batch, for initialisation; float32[B, L, V].

        Args:
          source: int32[B, S].
          source_mask: bool[B, S].
          target: int32[B, L].
        """
        return self.write(target, self.encode(source, source_mask))

    def project(self, hidden):
        """Returns the keys and values of a context; see `source.Context`."""
        return dict(denoiser=None, decoder=self.decoder_context(hidden))

    def write(self, target, context, *, deterministic=True):
        """Returns log p(y_l | y_<l) of every token, float32[B, L, V].

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
        return self._predict(token[:, None], context, position=position)[:, 0]

    def _predict(self, before, context, *, position=None, deterministic=True):
        hidden = self.decoder(
            self.embed(before),
            key_values=context.decoder,
            source_mask=context.mask,
            deterministic=deterministic,
            position=position,
        )
        return self.token_head(
            hidden,
            context=context.hidden,
            copyable=context.copyable,
            source=context.source,
        )
