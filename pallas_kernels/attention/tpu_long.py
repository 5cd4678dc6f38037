"""Attention on TPU for long rows: online softmax over blocks of keys.

Milakov and Gimelshein (2018) for the running maximum and sum, Dao (2023, algorithms 1
and 2) for the blocks and for a backward pass that recomputes the scores from the
logarithm of each row's sum. A program serves one group of heads (`layout`) of one
example. The sums of a row travel as rows of [groups, heads, T], H times smaller than a
lane each.

The gradients come from one kernel each: the keys' sums over queries, the queries' over
keys, the bias's over the batch; the axis that is summed over is the grid's innermost.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.attention import masking, tiles
from pallas_kernels.attention.layout import LANES, round_up

# Models call attention many times with the same shapes.
_traced_once = functools.partial(jax.jit, static_argnames="plan")

_BLOCK = 512  # of bfloat16; float32 takes six passes, and its code is as much longer
_BIAS_BUDGET = 9 * 2**20  # bytes of VMEM for blocks of a bias and of its gradient


def padded(length, dtype, *, bias_heads):
    """Returns the length that rows are padded to: whole blocks of whole lanes.

    Args:
      length: of queries or keys.
      dtype: of them.
      bias_heads: heads of a block of the bias; 0 without one.
    """
    return round_up(length, _block(length, dtype, bias_heads))


def _block(length, dtype, bias_heads):
    most = _BLOCK * 2 // dtype.itemsize
    while 4 * 4 * bias_heads * most**2 > _BIAS_BUDGET:  # each twice, in float32
        most //= 2
    blocks = -(-length // most)
    return round_up(-(-length // blocks), LANES)


@_traced_once
def forward(query, key, value, mask, bias, *, plan):
    """Returns the output, [B, T, groups * lanes]; all arguments packed."""
    return forward_with_lse(query, key, value, mask, bias, plan=plan)[0]


@_traced_once
def forward_with_lse(query, key, value, mask, bias, *, plan):
    """Returns the output and log sum exp of scores, float32[B, groups, heads, T]."""
    call = _Call(plan, query, key, "bts", biased=bias is not None)
    layout = plan.layout
    heads, (rows, _), lanes = layout.group_heads, call.block, layout.group_width
    sums = (query.shape[0], layout.num_groups, heads, query.shape[1])
    return call(
        _forward_kernel,
        (query, key, value, mask, bias),
        (call.query, call.key, call.key, call.mask, call.bias),
        (query, jax.ShapeDtypeStruct(sums, jnp.float32)),
        (call.query, call.sums),
        scratch=[
            pltpu.VMEM((heads, rows, 1), jnp.float32),
            pltpu.VMEM((heads, rows, 1), jnp.float32),
            pltpu.VMEM((rows, lanes), jnp.float32),
        ],
    )


@_traced_once
def backward(query, key, value, mask, bias, out, lse, gradient, *, plan):
    """Returns the gradients of query, key, value and bias (None without one)."""
    operands = (query, key, value, mask, bias, out, lse, gradient)
    lanes = plan.layout.group_width

    def run(kernel, order, outputs, names, scratch=()):
        call = _Call(plan, query, key, order, biased=bias is not None)
        specs = (call.query, call.key, call.key, call.mask, call.bias)
        return call(
            kernel,
            operands,
            (*specs, call.query, call.sums, call.query),
            outputs,
            [getattr(call, name) for name in names],
            scratch=[pltpu.VMEM((call.block[i], lanes), jnp.float32) for i in scratch],
        )

    d_key, d_value = run(
        _key_kernel, "bst", (key, value), ("key", "key"), scratch=(1, 1)
    )
    (d_query,) = run(_query_kernel, "bts", (query,), ("query",), scratch=(0,))
    d_bias = None
    if bias is not None:
        (d_bias,) = run(_bias_kernel, "tsb", (bias,), ("bias",))
    return d_query, d_key, d_value, d_bias


class _Call:
    """A grid over groups and three more axes in the order asked for, and its blocks.

    Attributes:
      block: rows of a block of queries and of keys.
      query, key, mask, bias, sums: the `BlockSpec` of such an operand.
    """

    def __init__(self, plan, query, key, order, *, biased):
        batch, length, _ = query.shape
        keys, lanes = key.shape[1], plan.layout.group_width
        heads = plan.layout.group_heads
        dtype = query.dtype
        bias_heads = heads if biased else 0
        rows, columns = self.block = tuple(
            _block(n, dtype, bias_heads) for n in (length, keys)
        )
        sizes = {"b": batch, "t": length // rows, "s": keys // columns}
        self._plan = plan
        self._grid = (plan.layout.num_groups, *(sizes[axis] for axis in order))

        def spec(shape, place):
            def index(g, *axes):
                return place(g, **dict(zip(order, axes, strict=True)))

            return pl.BlockSpec(shape, index)

        self.query = spec((1, rows, lanes), lambda g, b, t, s: (b, t, g))
        self.key = spec((1, columns, lanes), lambda g, b, t, s: (b, s, g))
        self.mask = spec((1, 1, columns), lambda g, b, t, s: (b, 0, s))
        self.bias = spec((heads, rows, columns), lambda g, b, t, s: (g, t, s))
        self.sums = spec((1, 1, heads, rows), lambda g, b, t, s: (b, g, 0, t))

    def __call__(self, kernel, operands, specs, outputs, out_specs, *, scratch):
        used = [
            None if x is None else spec for x, spec in zip(operands, specs, strict=True)
        ]
        return pl.pallas_call(
            functools.partial(kernel, plan=self._plan),
            out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in outputs],
            grid=self._grid,
            in_specs=used,
            out_specs=list(out_specs),
            scratch_shapes=scratch,
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=("parallel", "parallel", "parallel", "arbitrary")
            ),
            interpret=self._plan.interpret,
            name="attention_long" + kernel.__name__.removesuffix("_kernel"),
        )(*operands)


def _forward_kernel(
    query, key, value, mask, bias, out, lse, highest, summed, total, *, plan
):
    @pl.when(_is_first())
    def _():
        highest[...] = jnp.full_like(highest, masking.LEAST)
        summed[...] = jnp.zeros_like(summed)
        total[...] = jnp.zeros_like(total)

    q, k, v = query[0], key[0], value[0]
    for head in range(plan.layout.group_heads):
        scores = plan.scores(head, q, k, mask, bias)
        before = highest[head]
        now = jnp.maximum(before, tiles.highest(scores))
        weights, shrink = jnp.exp(scores - now), jnp.exp(before - now)
        highest[head] = now
        summed[head] = summed[head] * shrink + jnp.sum(weights, -1, keepdims=True)
        found = total[...] * shrink + tiles.matmul(weights.astype(v.dtype), v, (1, 0))
        total[...] = plan.layout.where(head, found, total[...])

    @pl.when(_is_last())
    def _():
        found, columns = total[...], []
        for head in range(plan.layout.group_heads):
            divisor = jnp.maximum(summed[head], masking.TINY)
            found = plan.layout.where(head, found / divisor, found)
            columns.append(highest[head] + jnp.log(divisor))
        out[0] = found.astype(out.dtype)
        lse[0, 0] = _to_rows(columns)


def _key_kernel(
    query, key, value, mask, bias, out, lse, gradient, d_key, d_value, *sums, plan
):
    _start(sums)
    q, g = query[0], gradient[0]
    for head, weights, d_scores in _heads(
        plan, query, key, value, mask, bias, out, lse, gradient
    ):
        d_scores = (d_scores * plan.scale).astype(q.dtype)
        sums[0][...] += tiles.matmul(d_scores, plan.layout.only(head, q), (0, 0))
        g_head = plan.layout.only(head, g)
        sums[1][...] += tiles.matmul(weights.astype(g.dtype), g_head, (0, 0))
    _finish(sums, (d_key, d_value))


def _query_kernel(
    query, key, value, mask, bias, out, lse, gradient, d_query, *sums, plan
):
    _start(sums)
    k = key[0]
    for head, _, d_scores in _heads(
        plan, query, key, value, mask, bias, out, lse, gradient
    ):
        found = tiles.matmul((d_scores * plan.scale).astype(k.dtype), k, (1, 0))
        found = plan.layout.only(head, found)
        sums[0][...] += found
    _finish(sums, (d_query,))


def _bias_kernel(query, key, value, mask, bias, out, lse, gradient, d_bias, *, plan):
    _start((d_bias,))
    for head, _, d_scores in _heads(
        plan, query, key, value, mask, bias, out, lse, gradient
    ):
        d_bias[head] += d_scores


def _heads(plan, query, key, value, mask, bias, out, lse, gradient):
    """Yields (head, weights, gradient of the biased scores), float32[T, S] each."""
    q, k, v, o, g = query[0], key[0], value[0], out[0], gradient[0]
    columns = _to_columns(lse[0, 0])
    products = o.astype(jnp.float32) * g.astype(jnp.float32)
    for head in range(plan.layout.group_heads):
        scores = plan.scores(head, q, k, mask, bias)
        weights = jnp.exp(scores - columns[head])
        d_weights = tiles.matmul(plan.layout.only(head, g), v, (1, 1))
        # The mean of d_weights under the weights, as Dao (2023) has it.
        mean = jnp.sum(plan.layout.only(head, products), axis=-1, keepdims=True)
        yield head, weights, weights * (d_weights - mean)


def _to_rows(columns):
    """Returns float32[heads, T] from columns of [T, 1]."""
    wide = jnp.zeros((columns[0].shape[0], LANES), jnp.float32)
    lane = jax.lax.broadcasted_iota(jnp.int32, wide.shape, 1)
    for head, column in enumerate(columns):
        wide = jnp.where(lane == head, column, wide)
    return wide.T[: len(columns)]


def _to_columns(rows):
    """Returns a list of columns [T, 1] from float32[heads, T]."""
    return [
        jnp.broadcast_to(rows[head : head + 1], (LANES, rows.shape[1])).T[:, :1]
        for head in range(rows.shape[0])
    ]


def _is_first():
    return pl.program_id(3) == 0


def _is_last():
    return pl.program_id(3) == pl.num_programs(3) - 1


def _start(sums):
    @pl.when(_is_first())
    def _():
        for ref in sums:
            ref[...] = jnp.zeros_like(ref)


def _finish(sums, outputs):
    @pl.when(_is_last())
    def _():
        for ref, out in zip(sums, outputs, strict=True):
            out[0] = ref[...].astype(out.dtype)
