"""Attention in plain `jax.numpy`: the definition that all others are held to."""

import jax
import jax.numpy as jnp

from pallas_kernels.attention import masking


def attention(query, key, value, *, key_mask=None, bias=None, scale=None):
    """Returns softmax(scale query key^T + bias) value over the keys of the mask.

    A row without a key gives zeros. Everything is computed in the type of the query.

    Args:
      query: [B, T, N, H].
      key, value: [B, S, N, H].
      key_mask: True on keys that may be attended to, bool[B, S]; None for all.
      bias: added to the scores, [N, T, S]; None for none.
      scale: None for 1 / sqrt(H).

    Returns:
      [B, T, N, H].
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = scale * jnp.einsum("btnh,bsnh->bnts", query, key)
    if bias is not None:
        scores = scores + bias[None].astype(scores.dtype)
    used = jnp.ones_like(scores, dtype=bool)
    if key_mask is not None:
        used = jnp.broadcast_to(key_mask[:, None, None, :], scores.shape)
    highest = jnp.max(
        scores, axis=-1, keepdims=True, where=used, initial=masking.MASKED
    )
    # What is subtracted cancels; its derivative would be 0 / 0 where the compiler
    # rounds the scores twice and none equals the maximum.
    highest = jax.lax.stop_gradient(highest)
    weights = jnp.exp(jnp.where(used, scores - highest, -jnp.inf))
    total = jnp.sum(weights, axis=-1, keepdims=True)
    weights = weights / jnp.where(total == 0.0, 1.0, total)
    return jnp.einsum("bnts,bsnh->btnh", weights, value)
