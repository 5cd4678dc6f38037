"""The sampler around the denoiser in plain `jax.numpy`: the definition."""

import jax
import jax.numpy as jnp

from pallas_kernels.attention import xla

EPSILON = 1e-6


def sample(weights, steps, x1, key_values, key_mask, *, num_heads):
    """Returns the last estimate of x0; see `api.sample` for the arguments."""
    draws = x1.shape[1]
    flat = x1.reshape(-1, *x1.shape[2:])
    key_values = jnp.repeat(key_values, draws, axis=2)
    key_mask = jnp.repeat(key_mask, draws, axis=0)

    def body(carry, step):
        xt, estimate = carry
        x0_hat = _denoise(
            weights, step, xt, estimate, key_values, key_mask, num_heads=num_heads
        )
        return (step.keep * xt + step.pull * x0_hat, x0_hat), None

    (_, x0_hat), _ = jax.lax.scan(body, (flat, jnp.zeros_like(flat)), steps)
    return x0_hat.reshape(x1.shape)


def _denoise(weights, step, xt, estimate, key_values, key_mask, *, num_heads):
    inputs = step.scale * xt
    if len(weights.embed) > xt.shape[-1]:
        inputs = jnp.concatenate([inputs, estimate], axis=-1)
    dtype = weights.embed.dtype
    x = inputs.astype(dtype) @ weights.embed
    x = x + (weights.embed_bias + step.time)[None] + weights.positions[None]
    for layer in range(len(weights.qkv)):
        x = x + _self_attention(weights, layer, x, num_heads=num_heads)
        x = x + _cross_attention(
            weights, layer, x, key_values[layer], key_mask, num_heads=num_heads
        )
        hidden = _normalize(x, weights.mlp_norm[layer], dtype) @ weights.mlp_in[layer]
        x = x + jnp.square(jax.nn.relu(hidden)) @ weights.mlp_out[layer]
    x = _normalize(x, weights.norm, dtype)
    return (x @ weights.unembed).astype(jnp.float32) + weights.unembed_bias[None]


def _self_attention(weights, layer, x, *, num_heads):
    y = _normalize(x, weights.self_norm[layer], weights.qkv.dtype) @ weights.qkv[layer]
    query, key, value = jnp.split(_heads(y, 3 * num_heads), 3, axis=2)
    out = xla.attention(rotate(query), rotate(key), value, None, None, scale=None)
    return out.reshape(*x.shape[:2], -1) @ weights.self_out[layer]


def _cross_attention(weights, layer, x, key_value, key_mask, *, num_heads):
    y = _normalize(x, weights.cross_norm[layer], weights.query.dtype)
    query = _heads(y @ weights.query[layer], num_heads)
    key, value = (_heads(y, num_heads) for y in key_value)
    out = xla.attention(query, key, value, key_mask, None, scale=None)
    return out.reshape(*x.shape[:2], -1) @ weights.cross_out[layer]


def _heads(x, num_heads):
    return x.reshape(*x.shape[:2], num_heads, -1)


def _normalize(x, scale, dtype):
    x = x.astype(jnp.float32)
    size = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    return (x * jax.lax.rsqrt(size + EPSILON) * scale[None]).astype(dtype)


def angles(length, width, *, base=10_000.0):
    """Returns cosines and sines of rotary positions, float32[length, width / 2]."""
    frequency = base ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angle = jnp.arange(length, dtype=jnp.float32)[:, None] * frequency[None]
    return jnp.cos(angle), jnp.sin(angle)


def rotate(x):
    """Returns x with rotary positions (Su et al. 2021), [B, L, N, H] in x's dtype."""
    cos, sin = (y[None, :, None] for y in angles(x.shape[1], x.shape[-1]))
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    halves = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(halves, axis=-1).astype(x.dtype)
