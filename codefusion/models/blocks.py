"""The block of the denoiser and the decoder, and stacks of it.

Positions attend to all positions at once, or, where `causal`, to those before them:
then a program can be written a token at a time, with the keys and values of the tokens
before kept in the "cache" collection.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion import sharding
from codefusion.models import alignment, layers
from pallas_kernels.attention import xla

_NEVER = -1e9  # a score that no softmax sees


class SelfAttention(nn.Module):
    """Self-attention with rotary positions.

    Attributes:
      max_length: the longest L.
      causal: whether a position attends to itself and those before it alone.
      attention: the implementation of `pallas_kernels.attention`.
    """

    num_heads: int
    head_width: int
    max_length: int
    causal: bool = False
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None

    @nn.compact
    def __call__(self, x, position=None):
        """Returns [B, L, D] from [B, L, D].

        Args:
          x: [B, L, D]; [B, 1, D] where it is what is written at `position`.
          position: int32[]; None for whole programs. The tokens before it are in the
            "cache" collection, which the first call with a position makes.
        """
        inner = self.num_heads * self.head_width
        project = layers.HeadDense(
            self.num_heads, (3,), self.head_width, self.dtype, name="qkv"
        )
        qkv = sharding.constrain(project(x), "batch", "length", "heads", None, None)
        query, key, value = jnp.unstack(qkv, axis=3)
        first = 0 if position is None else position
        query, key = (layers.rotate(part, first=first) for part in (query, key))
        seen = {}
        if position is not None:
            key, value = self._remember(key, value, position)
            written = jnp.arange(self.max_length) <= position
            seen["key_mask"] = jnp.broadcast_to(written, key.shape[:2])
        elif self.causal:
            seen["bias"] = _no_future(self.num_heads, x.shape[1])
        out = layers.attention(query, key, value, implementation=self.attention, **seen)
        out = out.reshape(*x.shape[:2], inner)
        dense = layers.Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="out")
        return dense(out)

    def _remember(self, key, value, position):
        """Returns keys and values so far, [B, max_length, N, H], with those given."""
        shape = (len(key), self.max_length, *key.shape[2:])
        found = []
        for name, new in (("key", key), ("value", value)):
            kept = self.variable("cache", name, jnp.zeros, shape, new.dtype)
            kept.value = jax.lax.dynamic_update_slice_in_dim(
                kept.value, new, position, axis=1
            )
            found.append(kept.value)
        return found


def _no_future(num_heads, length):
    """Returns what hides from a position those after it, float32[N, L, L]."""
    bias = jnp.where(jnp.tri(length, dtype=bool), 0.0, _NEVER)
    return jnp.broadcast_to(bias, (num_heads, length, length))


class CrossAttention(nn.Module):
    """Attention to precomputed keys and values of the context.

    Attributes:
      max_length: the longest L.
      alignment_rounds: see `alignment`; 0 is plain attention.
      attention: the implementation of `pallas_kernels.attention`, where plain.
    """

    num_heads: int
    head_width: int
    max_length: int
    alignment_rounds: int = 0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None

    @nn.compact
    def __call__(self, x, key_value, source_mask):
        """Returns [B, L, D] from x [B, L, D] and key_value [2, B, S, N, H]."""
        inner = self.num_heads * self.head_width
        query = layers.Dense(inner, use_bias=False, dtype=self.dtype, name="query")(x)
        query = query.reshape(*x.shape[:2], self.num_heads, self.head_width)
        attend = self._align if self.alignment_rounds else self._attend
        out = attend(query, *jnp.unstack(key_value), source_mask)
        out = out.reshape(*x.shape[:2], inner)
        return layers.Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="out")(
            out
        )

    def _attend(self, query, key, value, source_mask):
        return layers.attention(
            query, key, value, key_mask=source_mask, implementation=self.attention
        )

    def _align(self, query, key, value, source_mask):
        follow = alignment.DiagonalConvolution(self.max_length, name="alignment")
        scores = xla.scores(query, key, key_mask=source_mask)
        weights = jax.nn.softmax(scores, axis=-1)
        for _ in range(self.alignment_rounds):
            weights = jax.nn.softmax(scores + follow(weights), axis=-1)
        return xla.apply_weights(weights, value)


class FeedForward(nn.Module):
    """Two matmuls around a squared ReLU (So et al. 2021).

    On a CPU it costs nothing beside the matmuls, where GELU doubles the layer's time.
    """

    mlp_width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        """Returns [B, L, D] from [B, L, D]."""
        hidden = layers.Dense(
            self.mlp_width, use_bias=False, dtype=self.dtype, name="in"
        )(x)
        hidden = sharding.constrain(hidden, "batch", "length", "mlp")
        hidden = jnp.square(nn.relu(hidden))
        return layers.Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="out")(
            hidden
        )


class Block(nn.Module):
    """One pre-norm layer of the denoiser or the decoder; see `Stack` for its fields."""

    num_heads: int
    head_width: int
    mlp_width: int
    max_length: int
    causal: bool = False
    alignment_rounds: int = 0
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None

    @nn.compact
    def __call__(self, x, key_value, source_mask, deterministic, position=None):
        """Returns the residual stream after the layer, [B, L, D].

        Args:
          x: [B, L, D].
          key_value: of this layer, [2, B, S, N, H].
          source_mask: bool[B, S].
          deterministic: False draws dropout from the "dropout" stream.
          position: see `SelfAttention`.
        """
        common = dict(
            num_heads=self.num_heads,
            head_width=self.head_width,
            max_length=self.max_length,
            dtype=self.dtype,
            attention=self.attention,
        )

        def add(x, name, layer, *args):
            y = layer(layers.RMSNorm(self.dtype, name=f"{name}_norm")(x), *args)
            x = x + nn.Dropout(self.dropout)(y, deterministic=deterministic)
            return sharding.constrain(x, "batch", "length", "width")

        own = SelfAttention(**common, causal=self.causal, name="self_attention")
        cross = CrossAttention(
            **common,
            alignment_rounds=self.alignment_rounds,
            name="cross_attention",
        )
        feed_forward = FeedForward(self.mlp_width, self.dtype, name="feed_forward")
        x = add(x, "self_attention", own, position)
        x = add(x, "cross_attention", cross, key_value, source_mask)
        return add(x, "feed_forward", feed_forward)


class _ScannedBlock(nn.Module):
    """A `Block` in the (carry, output) form that `nn.scan` asks for."""

    fields: dict
    deterministic: bool

    @nn.compact
    def __call__(self, x, key_value, source_mask, position):
        block = Block(**self.fields, name="block")
        return block(x, key_value, source_mask, self.deterministic, position), None


class Stack(nn.Module):
    """A stack of blocks over one context, unrolled or scanned.

    Attributes:
      max_length: the longest L.
      causal: see `SelfAttention`.
      alignment_rounds: see `alignment`; 0 is plain cross-attention.
      attention: the implementation of `pallas_kernels.attention`.
      scan_layers: one compiled layer with stacked parameters, for deep models.
      remat: recompute a layer's activations in the backward pass.
      remat_policy: what it keeps of them, a key of `REMAT_POLICIES`.
    """

    num_layers: int
    num_heads: int
    head_width: int
    mlp_width: int
    max_length: int
    causal: bool = False
    alignment_rounds: int = 0
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None
    scan_layers: bool = False
    remat: bool = False
    remat_policy: str = "nothing"

    @nn.compact
    def __call__(
        self, x, key_values, source_mask, *, deterministic=True, position=None
    ):
        """Returns the normalised output, [B, L, D].

        Args:
          x: [B, L, D].
          key_values: of every layer, [layers, 2, B, S, N, H].
          source_mask: bool[B, S].
          deterministic: False draws dropout from the "dropout" stream.
          position: see `SelfAttention`.
        """
        fields = dict(
            num_heads=self.num_heads,
            head_width=self.head_width,
            mlp_width=self.mlp_width,
            max_length=self.max_length,
            causal=self.causal,
            alignment_rounds=self.alignment_rounds,
            dropout=self.dropout,
            dtype=self.dtype,
            attention=self.attention,
        )
        if self.scan_layers:
            scan = self._scan(fields, deterministic)
            x, _ = scan(x, key_values, source_mask, position)
        else:
            block = Block
            if self.remat:
                block = layers.rematerialized(
                    Block, self.remat_policy, static_argnums=(4,)
                )
            # Unstacked and not indexed: the gradient of indexing is a zero-padded copy.
            for i, key_value in enumerate(jnp.unstack(key_values)):
                layer = block(**fields, name=f"layer_{i}")
                x = layer(x, key_value, source_mask, deterministic, position)
        return layers.RMSNorm(self.dtype, name="norm")(x)

    def _scan(self, fields, deterministic):
        block = _ScannedBlock
        if self.remat:
            block = layers.rematerialized(block, self.remat_policy, prevent_cse=False)
        scanned = nn.scan(
            block,
            variable_axes={"params": 0, "cache": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast),
            length=self.num_layers,
        )
        return scanned(fields, deterministic, name="layers")
