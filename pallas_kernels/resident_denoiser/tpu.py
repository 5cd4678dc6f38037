"""The denoiser that stays in VMEM: all steps of a sampler in one program.

The weights are read from HBM once, whatever the number of steps and of candidates. The
grid goes over requests and their candidates; a program runs every step of one
candidate, a loop over layers inside a loop over steps, with the state of the sampler in
the loop and nothing written to HBM before the last estimate.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.attention import masking, tiles
from pallas_kernels.attention.layout import Layout
from pallas_kernels.resident_denoiser import reference
from pallas_kernels.resident_denoiser.weights import Weights

_MEBIBYTE = 2**20


def vmem_needed(weights, x1, key_values):
    """Returns the bytes of VMEM that the program asks for, an estimate from above."""
    length, width = x1.shape[2], weights.qkv.shape[1]
    inner, hidden = weights.self_out.shape[1], weights.mlp_in.shape[2]
    keys = key_values.shape[3]
    request = key_values.size * key_values.dtype.itemsize // key_values.shape[2]
    rows = 4 * length * (6 * width + 6 * inner + 2 * hidden)
    scores = 4 * 4 * length * max(length, keys)
    # Of the request twice, as the next is being read.
    return weights.nbytes + 2 * request + rows + scores + 2 * _MEBIBYTE


def sample(weights, steps, x1, key_values, key_mask, *, num_heads, interpret=False):
    """Returns the last estimate of x0; see `api.sample` for the arguments."""
    requests, draws, length, width = x1.shape
    num_layers, _, _, keys, inner = key_values.shape
    layout = Layout(num_heads, inner // num_heads)
    kernel = functools.partial(
        _kernel,
        layout=layout,
        num_steps=len(steps.scale),
        conditioned=len(weights.embed) > width,
    )
    whole = pl.BlockSpec(memory_space=pltpu.VMEM)
    one = pl.BlockSpec((None, None, length, width), lambda b, c: (b, c, 0, 0))
    coefficients = jnp.stack([steps.scale, steps.keep, steps.pull], axis=1)
    return pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct(x1.shape, jnp.float32),
        grid=(requests, draws),
        in_specs=[
            pl.BlockSpec(memory_space=pltpu.SMEM),
            whole,
            whole,
            one,
            pl.BlockSpec(
                (num_layers, 2, None, keys, inner), lambda b, c: (0, 0, b, 0, 0)
            ),
            pl.BlockSpec((None, 1, keys), lambda b, c: (b, 0, 0)),
            Weights(*[whole] * len(weights)),
        ],
        out_specs=one,
        scratch_shapes=[pltpu.VMEM((length, inner), weights.qkv.dtype)],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("arbitrary", "arbitrary"),
            vmem_limit_bytes=vmem_needed(weights, x1, key_values),
        ),
        interpret=interpret,
        name="resident_denoiser",
    )(
        coefficients,
        steps.time,
        _rotary_tables(layout, length, inner),
        x1,
        key_values,
        key_mask.astype(jnp.int32)[:, None],
        weights,
    )


def _kernel(
    coefficients,
    time,
    rotary,
    x1,
    key_values,
    key_mask,
    weights,
    out,
    attended,
    *,
    layout,
    num_steps,
    conditioned,
):
    dtype = weights.qkv.dtype

    def denoise(step, xt, estimate):
        width = xt.shape[1]
        scaled = (coefficients[step, 0] * xt).astype(dtype)
        x = tiles.matmul(scaled, weights.embed[:width], (1, 0))
        if conditioned:
            known = weights.embed[width:]
            x = x + tiles.matmul(estimate.astype(dtype), known, (1, 0))
        x = x + weights.embed_bias[...] + time[step] + weights.positions[...]
        layer = functools.partial(
            _layer, weights, rotary, key_values, key_mask, attended, layout
        )
        x = jax.lax.fori_loop(0, weights.qkv.shape[0], layer, x)
        x = _normalize(x, weights.norm[...], dtype)
        return tiles.matmul(x, weights.unembed[...], (1, 0)) + weights.unembed_bias[...]

    def one_step(step, carry):
        xt, estimate = carry
        x0_hat = denoise(step, xt, estimate)
        return coefficients[step, 1] * xt + coefficients[step, 2] * x0_hat, x0_hat

    start = x1[...]
    _, x0_hat = jax.lax.fori_loop(
        0, num_steps, one_step, (start, jnp.zeros_like(start))
    )
    out[...] = x0_hat


def _layer(weights, rotary, key_values, key_mask, attended, layout, layer, x):
    """Returns the residual stream after a layer, float32[L, D]."""
    dtype = weights.qkv.dtype
    inner = attended.shape[1]
    plan = tiles.Plan(layout, layout.head_width**-0.5)

    y = _normalize(x, weights.self_norm[layer], dtype)
    qkv = tiles.matmul(y, weights.qkv[layer], (1, 0)).astype(dtype)
    for lanes in _groups(layout, inner):
        query, key, value = (
            qkv[:, part * inner + lanes.start : part * inner + lanes.stop]
            for part in range(3)
        )
        query, key = (_rotate(z, layout.head_width, rotary) for z in (query, key))
        attended[:, lanes] = _attend(plan, query, key, value, None).astype(dtype)
    x = x + tiles.matmul(attended[...], weights.self_out[layer], (1, 0))

    y = _normalize(x, weights.cross_norm[layer], dtype)
    query = tiles.matmul(y, weights.query[layer], (1, 0)).astype(dtype)
    for lanes in _groups(layout, inner):
        key, value = (key_values[layer, part, :, lanes] for part in range(2))
        found = _attend(plan, query[:, lanes], key, value, key_mask)
        attended[:, lanes] = found.astype(dtype)
    x = x + tiles.matmul(attended[...], weights.cross_out[layer], (1, 0))

    y = _normalize(x, weights.mlp_norm[layer], dtype)
    hidden = tiles.matmul(y, weights.mlp_in[layer], (1, 0))
    hidden = jnp.square(jnp.maximum(hidden, 0.0)).astype(dtype)
    return x + tiles.matmul(hidden, weights.mlp_out[layer], (1, 0))


def _groups(layout, inner):
    """Returns the lanes of each group of heads, slices of at most a register."""
    width = min(layout.group_width, inner)
    return [slice(start, start + width) for start in range(0, inner, width)]


def _attend(plan, query, key, value, key_mask):
    """Returns the attention of a group of heads, float32[L, lanes]."""
    total = jnp.zeros(query.shape, jnp.float32)
    for head in range(query.shape[1] // plan.layout.head_width):
        scores = plan.scores(head, query, key, None, None)
        if key_mask is not None:
            scores = jnp.where(key_mask[...] != 0, scores, masking.MASKED)
        weights = jnp.exp(scores - tiles.highest(scores))
        summed = jnp.maximum(jnp.sum(weights, -1, keepdims=True), masking.TINY)
        found = tiles.matmul(weights.astype(value.dtype), value, (1, 0)) / summed
        total = plan.layout.where(head, found, total)
    return total


def _rotary_tables(layout, length, inner):
    """Returns what `_rotate` multiplies by, float32[3, L, lanes]."""
    width = layout.head_width
    cos, sin = reference.angles(length, width)
    none = jnp.zeros_like(sin)
    heads = min(layout.group_width, inner) // width
    tables = ([cos, cos], [-sin, none], [none, sin])
    return jnp.stack([jnp.tile(jnp.concatenate(t, 1), (1, heads)) for t in tables])


def _rotate(x, head_width, tables):
    """Returns a group of heads with rotary positions, [L, lanes] in x's dtype.

    A lane's partner is half a head to the right in the first half of a head, and to
    the left in the second; the tables hold zeros where it is the other one.
    """
    wide, half = x.astype(jnp.float32), head_width // 2
    right = pltpu.roll(wide, x.shape[1] - half, 1)
    left = pltpu.roll(wide, half, 1)
    return (wide * tables[0] + right * tables[1] + left * tables[2]).astype(x.dtype)


def _normalize(x, scale, dtype):
    size = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    return (x * jax.lax.rsqrt(size + reference.EPSILON) * scale).astype(dtype)
