"""Attention for XLA to compile, in steps that a caller can also take by itself."""

import functools

import jax
import jax.numpy as jnp

from pallas_kernels.attention.masking import MASKED


def attention(query, key, value, key_mask, bias, *, scale):
    """Returns what `reference.attention` does; see there for the arguments."""
    found = scores(query, key, key_mask=key_mask, bias=bias, scale=scale)
    out = apply_weights(jax.nn.softmax(found, axis=-1), value)
    return _without_empty_rows(out, key_mask)


def scores(query, key, *, key_mask=None, bias=None, scale=None):
    """Returns scale query key^T + bias, masked: float32[B, N, T, S]."""
    # Heads go before positions once, here: XLA's CPU compiler would otherwise
    # transpose the weights [T, S] of every head as well.
    query, key = jnp.moveaxis(query, 2, 1), jnp.moveaxis(key, 1, 3)
    found = jnp.matmul(query, key, preferred_element_type=jnp.float32)
    found = found * (query.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        found = found + bias[None].astype(jnp.float32)
    if key_mask is not None:
        found = jnp.where(key_mask[:, None, None], found, MASKED)
    return found


def apply_weights(weights, value):
    """Returns [B, T, N, H] from weights [B, N, T, S] and value [B, S, N, H]."""
    out = jnp.matmul(weights.astype(value.dtype), jnp.moveaxis(value, 2, 1))
    return jnp.moveaxis(out, 1, 2)


def by_cudnn(query, key, value, key_mask, bias, *, scale):
    """Returns what `attention` does by cuDNN, with the bias in the query's dtype.

    A mask of prefixes goes in as lengths, which cost nothing, any other as [B, T, S].
    """
    if bias is not None:
        bias = bias[None].astype(query.dtype)
    attend = functools.partial(
        jax.nn.dot_product_attention,
        query,
        key,
        value,
        bias,
        scale=scale,
        implementation="cudnn",
    )
    if key_mask is None:
        return attend()
    place = jnp.arange(key.shape[1])[None]
    empty = ~jnp.any(key_mask, axis=1, keepdims=True)
    mask = key_mask | (empty & (place == 0))  # no row of it is empty
    lengths = jnp.sum(mask, axis=1)

    def by_mask():
        shape = key.shape[0], 1, query.shape[1], key.shape[1]
        return attend(mask=jnp.broadcast_to(mask[:, None, None], shape))

    def by_lengths():
        return attend(key_value_seq_lengths=lengths)

    is_prefix = jnp.all(mask == (place < lengths[:, None]))
    out = jax.lax.cond(is_prefix, by_lengths, by_mask)
    return _without_empty_rows(out, key_mask)


def _without_empty_rows(out, key_mask):
    """Returns zeros where the softmax of no key at all gave the mean of the values."""
    if key_mask is None:
        return out
    return jnp.where(jnp.any(key_mask, -1)[:, None, None, None], out, 0)
