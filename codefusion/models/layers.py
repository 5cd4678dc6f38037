"""The pieces that the encoder, the denoiser and the decoder share."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion import sharding
from codefusion.models import alignment
from pallas_kernels import attention as kernels
from pallas_kernels.attention import xla

_EPSILON = 1e-6

# What a layer under remat keeps for the backward pass beside its input.
REMAT_POLICIES = {
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def _dot_rows(x, kernel, dimension_numbers, **kwargs):
    """Returns x [..., D] times kernel [D, F], [..., F], as one product of matrices.

    The gradient by the kernel then contracts one axis. Over batch and position apart
    XLA's CPU compiler would transpose the larger operand first.
    """
    del dimension_numbers  # of a dense layer: last axis with first
    rows = jax.lax.dot(x.reshape(-1, x.shape[-1]), kernel, **kwargs)
    return rows.reshape(*x.shape[:-1], -1)


Dense = functools.partial(nn.Dense, dot_general=_dot_rows)


class HeadDense(nn.Module):
    """A linear layer to several vectors for each head, [..., D] to [..., N, *parts, H].

    Its kernel [D, N * parts * H] has the heads outermost, because a mesh splits it
    there: were the parts outside, a device would hold some of all heads' queries and
    none of their keys. It is a matrix, because a TPU pads a last axis to 128.
    """

    num_heads: int
    parts: tuple[int, ...]
    head_width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        """Returns [..., N, *parts, H] from [..., D]."""
        shape = (self.num_heads, *self.parts, self.head_width)
        flat = Dense(math.prod(shape), use_bias=False, dtype=self.dtype, name="dense")
        return flat(x).reshape(*x.shape[:-1], *shape)


def _promote_matrices(x, kernel, bias, *, dtype):
    """Returns x and kernel in `dtype` and the bias as it is, float32."""
    return x.astype(dtype), kernel.astype(dtype), bias


# For logits: matrices in `dtype`, and sums that stay float32 for the softmax.
LogitDense = functools.partial(
    nn.Dense,
    dot_general=functools.partial(_dot_rows, preferred_element_type=jnp.float32),
    promote_dtype=_promote_matrices,
)


def attention(query, key, value, **options):
    """Returns `pallas_kernels.attention` over the mesh in force, rows and heads split.

    Args:
      query, key, value: [B, T, N, H] and [B, S, N, H].
      **options: of the kernel.
    """
    mesh = jax.sharding.get_abstract_mesh()
    spec = None
    if not mesh.empty and mesh.size > 1 and not mesh.manual_axes:
        rows = sharding.partition(mesh, query.shape, "batch", None, "heads", None)
        spec = rows[0], rows[2]
    return kernels.attention(query, key, value, partition=spec, **options)


def rms_normalize(x):
    """Returns x over its root mean square along the last axis, float32."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + _EPSILON)


class RMSNorm(nn.Module):
    """RMS normalisation with a learned scale and no bias (T5's layer norm)."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        """Returns the normalised x, [..., D] in `dtype`."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        scale = scale.reshape((1,) * (x.ndim - 1) + (-1,))
        return (rms_normalize(x) * scale).astype(self.dtype)


def rotate(x, *, base=10_000.0):
    """Returns x with rotary positions (Su et al. 2021), [B, L, N, H] in x's dtype.

    The halves of a head are rotated in float32 against one another by angle
    position / base^(2i / H).
    """
    length, width = x.shape[1], x.shape[-1]
    frequency = base ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angle = jnp.arange(length, dtype=jnp.float32)[:, None] * frequency[None]
    cos, sin = jnp.cos(angle)[None, :, None], jnp.sin(angle)[None, :, None]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    halves = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(halves, axis=-1).astype(x.dtype)


def first_positions(table, length, *, kind):
    """Returns learned absolute positions, float32[1, length, D].

    Args:
      table: the positions that there are, float32[max_length, D].
      length: how many positions are wanted.
      kind: "source" or "target", whose length in the config the table has.
    """
    if length > len(table):
        raise ValueError(
            f"A {kind} of {length} positions is longer than data.{kind}_length "
            f"{len(table)} that the model was built for."
        )
    return table[None, :length]


def time_features(t, width, *, max_period=10_000.0):
    """Returns sinusoidal features of 1000 t, float32[B, width]."""
    frequency = jnp.exp(
        -jnp.log(max_period) * jnp.arange(width // 2, dtype=jnp.float32) / (width // 2)
    )
    angle = 1000.0 * t[:, None] * frequency[None]
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


class ContextProjection(nn.Module):
    """Cross-attention keys and values of every layer, from one matmul.

    They depend on the context alone, so a request pays for them once and not once a
    diffusion step.
    """

    num_layers: int
    num_heads: int
    head_width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, context):
        """Returns keys and values, [layers, 2, B, S, N, H], from [B, S, D]."""
        project = HeadDense(
            self.num_heads,
            (self.num_layers, 2),
            self.head_width,
            self.dtype,
            name="key_value",
        )
        found = project(RMSNorm(self.dtype, name="norm")(context))
        found = jnp.moveaxis(found, (3, 4), (0, 1))
        return sharding.constrain(found, "batch", "length", "heads", None)


class SelfAttention(nn.Module):
    """Full self-attention with rotary positions.

    Attributes:
      attention: the implementation of `pallas_kernels.attention`.
    """

    num_heads: int
    head_width: int
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None

    @nn.compact
    def __call__(self, x):
        """Returns [B, L, D] from [B, L, D]."""
        inner = self.num_heads * self.head_width
        project = HeadDense(
            self.num_heads, (3,), self.head_width, self.dtype, name="qkv"
        )
        qkv = sharding.constrain(project(x), "batch", "length", "heads", None, None)
        query, key, value = jnp.unstack(qkv, axis=3)
        out = attention(
            rotate(query), rotate(key), value, implementation=self.attention
        )
        out = out.reshape(*x.shape[:2], inner)
        return Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="out")(out)


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
        query = Dense(inner, use_bias=False, dtype=self.dtype, name="query")(x)
        query = query.reshape(*x.shape[:2], self.num_heads, self.head_width)
        attend = self._align if self.alignment_rounds else self._attend
        out = attend(query, *jnp.unstack(key_value), source_mask)
        out = out.reshape(*x.shape[:2], inner)
        return Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="out")(out)

    def _attend(self, query, key, value, source_mask):
        return attention(
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
        hidden = Dense(self.mlp_width, use_bias=False, dtype=self.dtype, name="in")(x)
        hidden = sharding.constrain(hidden, "batch", "length", "mlp")
        hidden = jnp.square(nn.relu(hidden))
        return Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="out")(hidden)


class Block(nn.Module):
    """One pre-norm layer of the denoiser or the decoder; see `Stack` for its fields."""

    num_heads: int
    head_width: int
    mlp_width: int
    max_length: int
    alignment_rounds: int = 0
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None

    @nn.compact
    def __call__(self, x, key_value, source_mask, deterministic):
        """Returns the residual stream after the layer, [B, L, D].

        Args:
          x: [B, L, D].
          key_value: of this layer, [2, B, S, N, H].
          source_mask: bool[B, S].
          deterministic: False draws dropout from the "dropout" stream.
        """
        common = dict(
            num_heads=self.num_heads,
            head_width=self.head_width,
            dtype=self.dtype,
            attention=self.attention,
        )

        def add(x, name, layer, *args):
            y = layer(RMSNorm(self.dtype, name=f"{name}_norm")(x), *args)
            x = x + nn.Dropout(self.dropout)(y, deterministic=deterministic)
            return sharding.constrain(x, "batch", "length", "width")

        own = SelfAttention(**common, name="self_attention")
        cross = CrossAttention(
            **common,
            max_length=self.max_length,
            alignment_rounds=self.alignment_rounds,
            name="cross_attention",
        )
        feed_forward = FeedForward(self.mlp_width, self.dtype, name="feed_forward")
        x = add(x, "self_attention", own)
        x = add(x, "cross_attention", cross, key_value, source_mask)
        return add(x, "feed_forward", feed_forward)


class _ScannedBlock(nn.Module):
    """A `Block` in the (carry, output) form that `nn.scan` asks for."""

    fields: dict
    deterministic: bool

    @nn.compact
    def __call__(self, x, key_value, source_mask):
        block = Block(**self.fields, name="block")
        return block(x, key_value, source_mask, self.deterministic), None


def rematerialized(layer, policy, **options):
    """Returns a module class whose activations are recomputed; see `REMAT_POLICIES`."""
    return nn.remat(layer, policy=REMAT_POLICIES[policy], **options)


class Stack(nn.Module):
    """A stack of blocks over one context, unrolled or scanned.

    Attributes:
      max_length: the longest L.
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
    alignment_rounds: int = 0
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    attention: str | None = None
    scan_layers: bool = False
    remat: bool = False
    remat_policy: str = "nothing"

    @nn.compact
    def __call__(self, x, key_values, source_mask, *, deterministic=True):
        """Returns the normalised output, [B, L, D].

        Args:
          x: [B, L, D].
          key_values: of every layer, [layers, 2, B, S, N, H].
          source_mask: bool[B, S].
          deterministic: False draws dropout from the "dropout" stream.
        """
        fields = dict(
            num_heads=self.num_heads,
            head_width=self.head_width,
            mlp_width=self.mlp_width,
            max_length=self.max_length,
            alignment_rounds=self.alignment_rounds,
            dropout=self.dropout,
            dtype=self.dtype,
            attention=self.attention,
        )
        if self.scan_layers:
            x = self._scan(fields, deterministic)(x, key_values, source_mask)[0]
        else:
            block = Block
            if self.remat:
                block = rematerialized(Block, self.remat_policy, static_argnums=(4,))
            # Unstacked and not indexed: the gradient of indexing is a zero-padded copy.
            for i, key_value in enumerate(jnp.unstack(key_values)):
                layer = block(**fields, name=f"layer_{i}")
                x = layer(x, key_value, source_mask, deterministic)
        return RMSNorm(self.dtype, name="norm")(x)

    def _scan(self, fields, deterministic):
        block = _ScannedBlock
        if self.remat:
            block = rematerialized(block, self.remat_policy, prevent_cse=False)
        scanned = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast),
            length=self.num_layers,
        )
        return scanned(fields, deterministic, name="layers")
