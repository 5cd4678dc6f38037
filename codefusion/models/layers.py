"""The pieces that the encoder, the denoiser and the decoder share."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion import sharding
from pallas_kernels import attention as kernels

_EPSILON = 1e-6

# What a layer under remat keeps for the backward pass beside its input.
REMAT_POLICIES = {
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def rematerialized(layer, policy, **options):
    """Returns a module class whose activations are recomputed; see `REMAT_POLICIES`."""
    return nn.remat(layer, policy=REMAT_POLICIES[policy], **options)


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


def rotate(x, *, first=0, base=10_000.0):
    """Returns x with rotary positions (Su et al. 2021), [B, L, N, H] in x's dtype.

    The halves of a head are rotated in float32 against one another by angle
    position / base^(2i / H).

    Args:
      x: [B, L, N, H].
      first: position of its first row, int or int32[].
      base: of the angles.
    """
    length, width = x.shape[1], x.shape[-1]
    frequency = base ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    position = first + jnp.arange(length, dtype=jnp.float32)
    angle = position[:, None] * frequency[None]
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
