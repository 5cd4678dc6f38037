"""The comparison: a causal decoder in place of denoiser and decoder.

The encoder, the blocks and the heads are those of `CodeFusion`; what differs is that a
program is written from left to right, each token given those before it (Sutskever et
al. 2014; in this form Vaswani et al. 2017).
"""

from codefusion.models import decoder, writing


class Autoregressive(writing.Writer, kw_only=True):
    """Encoder, causal decoder and head.

    Attributes:
      decoder_layers: depth.
    """

    decoder_layers: int

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
        """Returns what `write` does, for initialisation.

        Args:
          source: int32[B, S].
          source_mask: bool[B, S].
          target: int32[B, L].
        """
        return self.write(target, self.encode(source, source_mask))

    def project(self, hidden):
        """Returns the keys and values of a context; see `source.Context`."""
        return dict(denoiser=None, decoder=self.decoder_context(hidden))
