"""What every model of requests shares: token embeddings and the reading of a source."""

from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion import sharding
from codefusion.models import decoder, encoder, layers


class Context(NamedTuple):
    """What the denoiser and the decoder attend to; computed once per request.

    Attributes:
      hidden: encoder output, [B, S, D].
      denoiser, decoder: keys and values by layer, [layers, 2, B, S, N, H]; None of a
        part that a model does not have.
      mask: True on positions to attend to, bool[B, S].
      copyable: True on source tokens that may be copied, bool[B, S].
      source: int32[B, S].
      plan: the denoiser's estimate that a causal decoder writes by, float32[B, L, E];
        None before there is one.
    """

    hidden: jax.Array
    denoiser: jax.Array | None
    decoder: jax.Array | None
    mask: jax.Array
    copyable: jax.Array
    source: jax.Array
    plan: jax.Array | None = None

    def repeat(self, count):
        """Returns the context with each of its B rows `count` times in a row."""
        axis = dict.fromkeys(self._fields, 0) | {"denoiser": 2, "decoder": 2}
        found = {name: getattr(self, name) for name in axis}
        return Context(
            **{
                name: None if leaf is None else jnp.repeat(leaf, count, axis[name])
                for name, leaf in found.items()
            }
        )


class Reader(nn.Module, kw_only=True):
    """Embeds tokens and reads requests; a model adds what writes programs.

    A model has `project(hidden [B, S, D])`, which returns the keys and values of its
    parts as a dict of `Context`'s fields.

    Attributes:
      vocab_size: V; width: D; embedding_width: E, the width of token embeddings.
      num_heads, head_width, mlp_width: of every layer.
      encoder_layers: depth.
      max_source_length, max_target_length: the longest S and L.
      head: the token head, a module class taking (vocab_size, dtype).
      share_embedding: whether the encoder also reads the embedding of a source token
        that the target has, so that one linear map copies every token.
      source_positions: whether the encoder also reads learned absolute positions;
        relative ones tell neighbours apart and not the third digit from the fourth.
      dropout: rate after every sublayer.
      dtype: of the matmuls; parameters are float32.
      attention: the implementation of `pallas_kernels.attention`; None for the best.
      scan_layers: of every stack of layers, see `blocks.Stack`.
      remat, remat_policy: of every layer, of the encoder too; see `blocks.Stack`.
    """

    vocab_size: int
    width: int
    embedding_width: int
    num_heads: int
    head_width: int
    mlp_width: int
    encoder_layers: int
    max_source_length: int
    max_target_length: int
    head: type[nn.Module] = decoder.CopyHead
    share_embedding: bool = True
    source_positions: bool = True
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None
    scan_layers: bool = False
    remat: bool = False
    remat_policy: str = "nothing"

    def setup(self):
        self.embedding = self.param(
            "embedding",
            nn.initializers.normal(1.0),
            (self.vocab_size, self.embedding_width),
        )
        self.null_context = self.param(
            "null_context", nn.initializers.normal(1.0), (self.width,)
        )
        self.encoder = encoder.Encoder(
            vocab_size=self.vocab_size,
            width=self.width,
            num_layers=self.encoder_layers,
            dtype=self.dtype,
            **self._layer_fields(),
        )
        if self.share_embedding:
            self.from_embedding = layers.Dense(self.width, dtype=self.dtype)
        if self.source_positions:
            self.positions = self.param(
                "source_positions",
                nn.initializers.normal(1.0),
                (self.max_source_length, self.width),
            )
        self.token_head = self.head(vocab_size=self.vocab_size, dtype=self.dtype)

    def _layer_fields(self):
        """Returns the fields that every stack of layers takes, dict."""
        return dict(
            num_heads=self.num_heads,
            head_width=self.head_width,
            mlp_width=self.mlp_width,
            dropout=self.dropout,
            attention=self.attention,
            scan_layers=self.scan_layers,
            remat=self.remat,
            remat_policy=self.remat_policy,
        )

    def _context_projection(self, num_layers):
        return layers.ContextProjection(
            num_layers=num_layers,
            num_heads=self.num_heads,
            head_width=self.head_width,
            dtype=self.dtype,
        )

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
            mask=mask,
            copyable=copyable,
            source=source,
            **self.project(hidden),
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
