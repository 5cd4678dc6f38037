"""The encoder: source tokens to context, in T5's form.

T5 (Raffel et al. 2020): pre-RMSNorm, no biases, attention scores not divided by
sqrt(H), one relative position bias shared by all layers, ReLU. In this form the
encoder weights of CodeT5-small can be loaded (`pretrained.py`).
"""

import flax.linen as nn
import jax.numpy as jnp

from codefusion import sharding
from codefusion.models import layers


def position_buckets(length, *, num_buckets=32, max_distance=128):
    """Returns T5's bidirectional buckets of key minus query, int32[S, S].

    Half the buckets are for keys after the query. Of each half, the first half are
    exact distances and the rest grow logarithmically up to `max_distance`.
    """
    position = jnp.arange(length)
    distance = position[None, :] - position[:, None]
    half, exact = num_buckets // 2, num_buckets // 4
    size = jnp.abs(distance)
    growth = jnp.log(jnp.maximum(size, 1) / exact) / jnp.log(max_distance / exact)
    far = exact + (growth * (half - exact)).astype(jnp.int32)
    bucket = jnp.where(size < exact, size, jnp.minimum(far, half - 1))
    return jnp.where(distance > 0, half, 0) + bucket


class EncoderLayer(nn.Module):
    """One T5 encoder layer; see `Encoder` for its fields."""

    num_heads: int
    head_width: int
    mlp_width: int
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None

    @nn.compact
    def __call__(self, x, bias, source_mask, deterministic):
        """Returns the residual stream after the layer, [B, S, D].

        Args:
          x: [B, S, D].
          bias: of the relative positions, float32[N, S, S].
          source_mask: True on real tokens, bool[B, S].
          deterministic: False draws dropout from the "dropout" stream.
        """
        width, inner = x.shape[-1], self.num_heads * self.head_width
        drop = nn.Dropout(self.dropout, deterministic=deterministic)

        def project(name, features, y, spread):
            init = nn.initializers.normal(spread)
            return layers.Dense(
                features, use_bias=False, dtype=self.dtype, kernel_init=init, name=name
            )(y)

        y = layers.RMSNorm(self.dtype, name="attention_norm")(x)
        shape = (*x.shape[:2], self.num_heads, self.head_width)
        # Scores are not divided by sqrt(H): the query's small start does it instead.
        query = project("query", inner, y, (width * self.head_width) ** -0.5)
        key = project("key", inner, y, width**-0.5)
        value = project("value", inner, y, width**-0.5)
        y = layers.attention(
            query.reshape(shape),
            key.reshape(shape),
            value.reshape(shape),
            key_mask=source_mask,
            bias=bias,
            scale=1.0,
            implementation=self.attention,
        ).reshape(*x.shape[:2], inner)
        x = x + drop(project("out", width, y, inner**-0.5))
        y = layers.RMSNorm(self.dtype, name="feed_forward_norm")(x)
        y = project("in", self.mlp_width, y, width**-0.5)
        y = drop(nn.relu(sharding.constrain(y, "batch", "length", "mlp")))
        x = x + drop(project("mlp_out", width, y, self.mlp_width**-0.5))
        return sharding.constrain(x, "batch", "length", "width")


class _ScannedLayer(nn.Module):
    """An `EncoderLayer` in the (carry, output) form that `nn.scan` asks for."""

    fields: dict
    deterministic: bool

    @nn.compact
    def __call__(self, x, bias, source_mask):
        layer = EncoderLayer(**self.fields, name="layer")
        return layer(x, bias, source_mask, self.deterministic), None


class Encoder(nn.Module):
    """Source tokens to context.

    Attributes:
      attention: the implementation of `pallas_kernels.attention`.
      num_buckets, max_distance: see `position_buckets`.
      scan_layers, remat, remat_policy: as in `blocks.Stack`.
    """

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    head_width: int
    mlp_width: int
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None
    num_buckets: int = 32
    max_distance: int = 128
    scan_layers: bool = False
    remat: bool = False
    remat_policy: str = "nothing"

    @nn.compact
    def __call__(self, source, source_mask, *, offset=0.0, deterministic=True):
        """Returns the context.

        Args:
          source: int32[B, S].
          source_mask: True on real tokens, bool[B, S].
          offset: added to the token embeddings, [B, S, D] or 0.
          deterministic: False draws dropout from the "dropout" stream.

        Returns:
          [B, S, D] in `dtype`.
        """
        drop = nn.Dropout(self.dropout, deterministic=deterministic)
        table = self.param(
            "embedding", nn.initializers.normal(1.0), (self.vocab_size, self.width)
        )
        x = drop(jnp.take(table, source, axis=0).astype(self.dtype) + offset)
        bias = self._position_bias(source.shape[1])
        x = sharding.constrain(x, "batch", "length", "width")
        fields = dict(
            num_heads=self.num_heads,
            head_width=self.head_width,
            mlp_width=self.mlp_width,
            dropout=self.dropout,
            dtype=self.dtype,
            attention=self.attention,
        )
        if self.scan_layers:
            x, _ = self._scan(fields, deterministic)(x, bias, source_mask)
        else:
            new = EncoderLayer
            if self.remat:
                new = layers.rematerialized(new, self.remat_policy, static_argnums=(4,))
            for i in range(self.num_layers):
                layer = new(**fields, name=f"layer_{i}")
                x = layer(x, bias, source_mask, deterministic)
        return drop(layers.RMSNorm(self.dtype, name="norm")(x))

    def _scan(self, fields, deterministic):
        layer = _ScannedLayer
        if self.remat:
            layer = layers.rematerialized(layer, self.remat_policy, prevent_cse=False)
        scanned = nn.scan(
            layer,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,
            length=self.num_layers,
        )
        return scanned(fields, deterministic, name="layers")

    def _position_bias(self, length):
        table = self.param(
            "position_bias",
            nn.initializers.normal(self.width**-0.5),
            (self.num_buckets, self.num_heads),
        )
        buckets = position_buckets(
            length, num_buckets=self.num_buckets, max_distance=self.max_distance
        )
        return jnp.moveaxis(table[buckets], -1, 0)
