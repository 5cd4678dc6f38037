"""Attention on TPU for short rows: all keys of a row at once.

Queries and keys of an example fit in VMEM whole, and so do the scores of a head. The
softmax then needs no rescaling, and the backward pass is one program that recomputes
the scores. A program serves one group of heads (`layout`) of several examples.

Grid: (groups, batch blocks), the batch innermost, so that the bias of a group is read
once and its gradient, a sum over the batch, stays in VMEM until it is done.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.attention import masking, tiles

# Models call attention many times with the same shapes.
_traced_once = functools.partial(jax.jit, static_argnames="plan")

_BUDGET = 6 * 2**20  # bytes of VMEM for the blocks of a program; a v4 core has 16 MiB
_MOST_EXAMPLES = 8


def fits(layout, length, keys, *, biased):
    """Returns whether a program of the backward pass fits in the least VMEM."""
    scores = 4 * length * keys
    temporaries = 5 * scores
    kept = (3 * layout.group_heads * scores) if biased else 0
    rows = 2 * 4 * layout.group_width * (3 * length + 4 * keys)
    return temporaries + kept + rows < 12 * 2**20


@_traced_once
def forward(query, key, value, mask, bias, *, plan):
    """Returns the output, [B, T, groups * lanes]; all arguments packed."""
    spec = _Blocks(plan, query, key, count=2)
    return pl.pallas_call(
        functools.partial(_forward_kernel, plan=plan),
        out_shape=jax.ShapeDtypeStruct(query.shape, query.dtype),
        grid=spec.grid,
        in_specs=spec.inputs(mask, bias),
        out_specs=spec.queries,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel")
        ),
        interpret=plan.interpret,
        name="attention_short_forward",
    )(query, key, value, mask, bias)


@_traced_once
def backward(query, key, value, mask, bias, gradient, *, plan):
    """Returns the gradients of query, key, value and bias (None without one)."""
    spec = _Blocks(plan, query, key, count=4)
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (query, key, value)]
    outputs = [spec.queries, spec.keys, spec.keys]
    if bias is not None:
        shapes.append(jax.ShapeDtypeStruct(bias.shape, bias.dtype))
        outputs.append(spec.bias)
    found = pl.pallas_call(
        functools.partial(_backward_kernel, plan=plan),
        out_shape=shapes,
        grid=spec.grid,
        in_specs=[*spec.inputs(mask, bias), spec.queries],
        out_specs=outputs,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "arbitrary")
        ),
        interpret=plan.interpret,
        name="attention_short_backward",
    )(query, key, value, mask, bias, gradient)
    return (*found, *[None] * (4 - len(found)))


class _Blocks:
    """The grid and the block of each operand."""

    def __init__(self, plan, query, key, *, count):
        batch, length, _ = query.shape
        keys, lanes = key.shape[1], plan.layout.group_width
        # Twice, because the next block is read while one is worked on.
        example = 2 * count * lanes * (length + keys) * query.dtype.itemsize
        most = max(1, min(_MOST_EXAMPLES, _BUDGET // example))
        examples = max(n for n in range(1, most + 1) if batch % n == 0)
        self.grid = plan.layout.num_groups, batch // examples
        self.queries = pl.BlockSpec((examples, length, lanes), lambda g, b: (b, 0, g))
        self.keys = pl.BlockSpec((examples, keys, lanes), lambda g, b: (b, 0, g))
        self.mask = pl.BlockSpec((examples, 1, keys), lambda g, b: (b, 0, 0))
        heads = plan.layout.group_heads
        self.bias = pl.BlockSpec((heads, length, keys), lambda g, b: (g, 0, 0))

    def inputs(self, mask, bias):
        """Returns the blocks of query, key, value, mask and bias."""
        return [
            self.queries,
            self.keys,
            self.keys,
            None if mask is None else self.mask,
            None if bias is None else self.bias,
        ]


def _forward_kernel(query, key, value, mask, bias, out, *, plan):
    def one_example(i, carry):
        q, k, v = query[i], key[i], value[i]
        total = jnp.zeros(q.shape, jnp.float32)
        for head in range(plan.layout.group_heads):
            scores = plan.scores(head, q, k, mask, bias, example=i)
            weights, summed = _softmax(scores)
            found = tiles.matmul(weights.astype(v.dtype), v, (1, 0)) / summed
            total = plan.layout.where(head, found, total)
        out[i] = total.astype(out.dtype)
        return carry

    jax.lax.fori_loop(0, query.shape[0], one_example, None)


def _backward_kernel(query, key, value, mask, bias, gradient, *outputs, plan):
    d_query, d_key, d_value, *d_bias = outputs

    if d_bias:

        @pl.when(pl.program_id(1) == 0)
        def _():
            d_bias[0][...] = jnp.zeros_like(d_bias[0])

    def one_example(i, carry):
        q, k, v, g = query[i], key[i], value[i], gradient[i]
        sums = [jnp.zeros(x.shape, jnp.float32) for x in (q, k, v)]
        for head in range(plan.layout.group_heads):
            scores = plan.scores(head, q, k, mask, bias, example=i)
            weights, summed = _softmax(scores)
            weights = weights / summed
            g_head = plan.layout.only(head, g)
            d_weights = tiles.matmul(g_head, v, (1, 1))
            mean = jnp.sum(weights * d_weights, axis=-1, keepdims=True)
            d_scores = weights * (d_weights - mean)
            if d_bias:
                d_bias[0][head] += d_scores
            d_scores = (d_scores * plan.scale).astype(k.dtype)
            found = tiles.matmul(d_scores, k, (1, 0))
            sums[0] = plan.layout.where(head, found, sums[0])
            sums[1] += tiles.matmul(d_scores, plan.layout.only(head, q), (0, 0))
            sums[2] += tiles.matmul(weights.astype(v.dtype), g_head, (0, 0))
        for ref, found in zip((d_query, d_key, d_value), sums, strict=True):
            ref[i] = found.astype(ref.dtype)
        return carry

    jax.lax.fori_loop(0, query.shape[0], one_example, None)


def _softmax(scores):
    """Returns the weights before division [T, S] and what divides them [T, 1]."""
    highest = tiles.highest(scores)
    weights = jnp.exp(scores - highest)
    summed = jnp.sum(weights, axis=-1, keepdims=True)
    return weights, jnp.maximum(summed, masking.TINY)
