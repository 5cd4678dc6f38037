"""The whole network: `embed`, `encode`, `denoise`, `decode` over one parameter tree."""

import functools
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion import sharding
from codefusion.models import decoder, denoiser, encoder, layers


class Context(NamedTuple):
    """What the denoiser and the decoder attend to; computed once per request.

    Attributes:
      hidden: encoder output, [B, S, D].
      denoiser, decoder: keys and values by layer, [layers, 2, B, S, N, H].
      mask: True on positions to attend to, bool[B, S].
      copyable: True on source tokens that may be copied, bool[B, S].
      source: int32[B, S].
    """

    hidden: jax.Array
    denoiser: jax.Array
    decoder: jax.Array
    mask: jax.Array
    copyable: jax.Array
    source: jax.Array

    def repeat(self, count):
        """Returns the context with each of its B rows `count` times in a row."""
        axis = dict.fromkeys(self._fields, 0) | {"denoiser": 2, "decoder": 2}
        found = {
            name: jnp.repeat(getattr(self, name), count, axis[name]) for name in axis
        }
        return Context(**found)


class CodeFusion(nn.Module):
    """Encoder, denoiser, decoder and head (Singh et al. 2023, section 2).

    Attributes:
      vocab_size: V; width: D; embedding_width: E, the width that is diffused.
      num_heads, head_width, mlp_width: of every layer.
      encoder_layers, denoiser_layers, decoder_layers: depths.
      max_source_length, max_target_length: the longest S and L.
      head: the token head, a module class taking (vocab_size, dtype).
      self_conditioning: whether the denoiser reads its previous estimate.
      share_embedding: whether the encoder also reads the diffused embedding of a
        source token, so that one linear map copies every token.
      source_positions: whether the encoder also reads learned absolute positions;
        relative ones tell neighbours apart and not the third digit from the fourth.
      alignment_rounds: of cross-attention along the diagonal, see `alignment`.
      dropout: rate after every sublayer.
      dtype: of the matmuls; parameters are float32.
      attention: the implementation of `pallas_kernels.attention`; None for the best.
      scan_layers: of denoiser and decoder, see `layers.Stack`; the encoder keeps the
        names that `pretrained` loads.
      remat, remat_policy: of every layer, of the encoder too; see `layers.Stack`.
    """

    vocab_size: int
    width: int
    embedding_width: int
    num_heads: int
    head_width: int
    mlp_width: int
    encoder_layers: int
    denoiser_layers: int
    decoder_layers: int
    max_source_length: int
    max_target_length: int
    head: type[nn.Module] = decoder.CopyHead
    self_conditioning: bool = True
    share_embedding: bool = True
    source_positions: bool = True
    alignment_rounds: int = 2
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None
    scan_layers: bool = False
    remat: bool = False
    remat_policy: str = "nothing"

    def setup(self):
        heads = dict(num_heads=self.num_heads, head_width=self.head_width)
        common = dict(
            **heads,
            mlp_width=self.mlp_width,
            dropout=self.dropout,
            attention=self.attention,
            remat=self.remat,
            remat_policy=self.remat_policy,
        )
        stack = dict(
            **common,
            alignment_rounds=self.alignment_rounds,
            scan_layers=self.scan_layers,
        )
        self.embedding = self.param(
            "embedding",
            nn.initializers.normal(1.0),
            (self.vocab_size, self.embedding_width),
        )
        self._set_up_source(common)
        project = functools.partial(layers.ContextProjection, **heads, dtype=self.dtype)
        self.denoiser_context = project(num_layers=self.denoiser_layers)
        self.decoder_context = project(num_layers=self.decoder_layers)
        self.denoiser = denoiser.Denoiser(
            width=self.width,
            embedding_width=self.embedding_width,
            stack=dict(**stack, num_layers=self.denoiser_layers),
            max_length=self.max_target_length,
            self_conditioning=self.self_conditioning,
            dtype=self.dtype,
        )
        self.decoder = decoder.Decoder(
            width=self.width,
            stack=dict(**stack, num_layers=self.decoder_layers),
            max_length=self.max_target_length,
            dtype=self.dtype,
        )
        self.token_head = self.head(vocab_size=self.vocab_size, dtype=self.dtype)
        self.to_embedding = layers.Dense(self.embedding_width, dtype=self.dtype)

    def _set_up_source(self, common):
        self.null_context = self.param(
            "null_context", nn.initializers.normal(1.0), (self.width,)
        )
        self.encoder = encoder.Encoder(
            vocab_size=self.vocab_size,
            width=self.width,
            num_layers=self.encoder_layers,
            **common,
            dtype=self.dtype,
        )
        if self.share_embedding:
            self.from_embedding = layers.Dense(self.width, dtype=self.dtype)
        if self.source_positions:
            self.positions = self.param(
                "source_positions",
                nn.initializers.normal(1.0),
                (self.max_source_length, self.width),
            )

    def __call__(self, source, source_mask, target):
        """Runs every part once, for initialisation; x0 is denoised at time 0.

        Args:
          source: int32[B, S].
          source_mask: bool[B, S].
          target: int32[B, L].

        Returns:
          (decoded, log-probabilities): `read_embedding` float32[B, L, E] and
          float32[B, L, V] of `decode`.
        """
        x0 = self.embed(target)
        context = self.encode(source, source_mask)
        x0_hat = self.denoise(x0, jnp.zeros(len(x0)), jnp.zeros_like(x0), context)
        hidden, log_probs = self.decode(x0_hat, context)
        return self.read_embedding(hidden), log_probs

    def embed(self, target):
        """Returns x0: token embeddings at unit RMS, float32[B, L, E].

        Args:
          target: int32[B, L].
        """
        chex.assert_rank(target, 2)
        x0 = layers.rms_normalize(jnp.take(self.embedding, target, axis=0))
        return sharding.constrain(x0, "batch", "length", "width")

    def embedding_table(self):
        """Returns all token embeddings at unit RMS, float32[V, E]."""
        return layers.rms_normalize(self.embedding)

    def encode(
        self, source, source_mask, *, dropped=None, noise=None, deterministic=True
    ):
        """Returns the `Context` of a batch.

        Args:
          source: int32[B, S].
          source_mask: bool[B, S].
          dropped: rows that lose their context to a learned one, for classifier-free
            guidance, bool[B]; None for none.
          noise: (rows, draw): rows bool[B] whose context is replaced by the draw
            float32[B, S, D], for unsupervised generation; None for none.
          deterministic: False draws dropout from the "dropout" stream.
        """
        chex.assert_rank(source, 2)
        chex.assert_equal_shape([source, source_mask])
        hidden = self.encoder(
            source,
            source_mask,
            offset=self._source_offset(source),
            deterministic=deterministic,
        )
        mask = copyable = source_mask
        if noise is not None:
            rows, draw = noise
            chex.assert_shape([rows, draw], [(len(source),), hidden.shape])
            hidden = jnp.where(rows[:, None, None], draw.astype(self.dtype), hidden)
            mask = mask | rows[:, None]
            copyable = copyable & ~rows[:, None]
        if dropped is not None:
            chex.assert_shape(dropped, (len(source),))
            null = self.null_context[None, None].astype(self.dtype)
            hidden = jnp.where(dropped[:, None, None], null, hidden)
            copyable = copyable & ~dropped[:, None]
        return Context(
            hidden=hidden,
            denoiser=self.denoiser_context(hidden),
            decoder=self.decoder_context(hidden),
            mask=mask,
            copyable=copyable,
            source=source,
        )

    def _source_offset(self, source):
        """Returns what the encoder reads beside its own table, [B, S, D] or 0."""
        offset = 0.0
        if self.share_embedding:
            offset = self.from_embedding(self.embed(source))
        if self.source_positions:
            positions = layers.first_positions(
                self.positions, source.shape[1], kind="source"
            )
            offset = offset + positions.astype(self.dtype)
        return offset

    def denoise(self, xt, t, estimate, context, *, deterministic=True):
        """Returns x0_hat, float32[B, L, E].

        Args:
          xt: noised embeddings at unit variance (eq. 3), float32[B, L, E].
          t: diffusion time, float32[B].
          estimate: the previous x0_hat, zeros if none, float32[B, L, E].
          context: from `encode`.
          deterministic: False draws dropout from the "dropout" stream.
        """
        self._check_embeddings(xt, context)
        chex.assert_equal_shape([xt, estimate])
        chex.assert_shape(t, (len(xt),))
        return self.denoiser(
            xt,
            t,
            estimate=estimate,
            key_values=context.denoiser,
            source_mask=context.mask,
            deterministic=deterministic,
        )

    def decode(self, x0_hat, context, *, deterministic=True):
        """Returns hidden [B, L, D] and token log-probabilities float32[B, L, V].

        Args:
          x0_hat: clean embeddings, float32[B, L, E].
          context: from `encode`.
          deterministic: False draws dropout from the "dropout" stream.
        """
        self._check_embeddings(x0_hat, context)
        hidden = self.decoder(
            x0_hat,
            key_values=context.decoder,
            source_mask=context.mask,
            deterministic=deterministic,
        )
        log_probs = self.token_head(
            hidden,
            context=context.hidden,
            copyable=context.copyable,
            source=context.source,
        )
        return hidden, log_probs

    def _check_embeddings(self, x, context):
        chex.assert_shape(x, (len(context.mask), None, self.embedding_width))

    def read_embedding(self, hidden):
        """Returns the decoder's output in embedding space, D_s; float32[B, L, E]."""
        return self.to_embedding(hidden).astype(jnp.float32)
