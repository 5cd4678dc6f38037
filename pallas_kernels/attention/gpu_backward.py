"""Attention on a GPU, backward: the weights are computed again, tile by tile.

With P the weights, dO the gradient of the attention O and delta the row sums of dO * O,
the gradient of the scores is dS = P * (dO V^T - delta), and then dQ = dS K, dK = dS^T Q
and dV = P^T dO. One kernel holds queries, one keys, one the bias: no program adds to
what another writes, so the sums have one order.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.pallas import mosaic_gpu as plgpu

from pallas_kernels.attention import gpu_tiles as tiles
from pallas_kernels.attention.gpu_tiles import BY_COLUMN, BY_ROW, ROWS

_OF_QUERIES = ("query", "gradient", "lse", "delta")
_OF_KEYS = ("key", "value", "penalty")


@functools.partial(jax.jit, static_argnames="scale")  # traced once for equal shapes
def backward(query, key, value, penalty, bias, residuals, gradient, *, scale):
    """Returns the gradients by query, key, value and bias (None without one).

    Args:
      query, key, value, penalty, bias, scale: as `gpu_forward.forward` has them.
      residuals: what `gpu_forward.forward_with_residuals` returned for them.
      gradient: by the attention, bfloat16[B, T, N, H].
    """
    assert query.shape[1] % ROWS == 0 and key.shape[1] % ROWS == 0
    # From the rounded attention alone, delta would have the largest error of all
    # where a row has few keys.
    attended = residuals["out"].astype(jnp.float32) + residuals["rest"].astype(
        jnp.float32
    )
    delta = jnp.einsum("btnh,btnh->bnt", attended, gradient.astype(jnp.float32))
    operands = {
        "query": query,
        "gradient": gradient,
        "lse": residuals["lse"],
        "delta": delta,
        "key": key,
        "value": value,
    }
    if penalty is not None:
        operands["penalty"] = penalty
    if bias is not None:
        operands["bias"] = bias
    d_query = _by_queries(operands, scale)
    d_key, d_value = _by_keys(operands, scale)
    d_bias = None if bias is None else _by_bias(operands, scale)
    return d_query, d_key, d_value, d_bias


def _by_queries(operands, scale):
    """Returns dQ: a program holds 64 queries and streams the keys."""
    query = operands["query"]
    batch, length, heads, width = query.shape
    matrix, vector = tiles.matrix(width, query.dtype), tiles.vector()
    held = dict(zip(_OF_QUERIES, (matrix, matrix, vector, vector), strict=True))
    call = tiles.kernel(
        functools.partial(_queries_body, scale=scale),
        out_type=jax.ShapeDtypeStruct(query.shape, query.dtype),
        grid={"example": batch, "head": heads, "row": length // ROWS},
        scratch_types=(held, plgpu.Barrier(num_arrivals=len(held))),
    )
    return call(operands)


def _queries_body(operands, d_query, held, arrived, *, scale):
    example, head = jax.lax.axis_index("example"), jax.lax.axis_index("head")
    rows = tiles.tile_of("row")
    parts = _parts(operands, example, head, rows, slice(None))
    tiles.fetch([(parts[name], held[name]) for name in held], arrived)
    sources = {name: (parts[name], 0, ROWS) for name in _OF_KEYS if name in parts}
    if "bias" in parts:
        sources["bias"] = parts["bias"], 1, ROWS

    def step(now, found):
        _, d_scores = _gradient_of_scores(held | now, BY_ROW, scale)
        return tiles.add_product(found, d_scores, now["key"])

    steps = operands["key"].shape[1] // ROWS
    found = tiles.stream(step, steps, sources, tiles.zeros(d_query.shape[-1]))
    tile = held["query"]
    tile[...] = (found * scale).astype(tile.dtype)
    tiles.store([(tile, d_query.at[example, rows, head])])


def _by_keys(operands, scale):
    """Returns dK and dV: a program holds 64 keys and streams the queries."""
    key = operands["key"]
    batch, keys, heads, width = key.shape
    matrix = tiles.matrix(width, key.dtype)
    held = {"key": matrix, "value": matrix}
    if "penalty" in operands:
        held["penalty"] = tiles.vector()
    if "bias" in operands:
        operands = operands | {"bias": jnp.swapaxes(operands["bias"], 1, 2)}
    call = tiles.kernel(
        functools.partial(_keys_body, scale=scale),
        out_type=(jax.ShapeDtypeStruct(key.shape, key.dtype),) * 2,
        grid={"example": batch, "head": heads, "row": keys // ROWS},
        scratch_types=(held, plgpu.Barrier(num_arrivals=len(held))),
    )
    return call(operands)


def _keys_body(operands, d_key, d_value, held, arrived, *, scale):
    example, head = jax.lax.axis_index("example"), jax.lax.axis_index("head")
    rows = tiles.tile_of("row")
    parts = _parts(operands, example, head, slice(None), rows)
    tiles.fetch([(parts[name], held[name]) for name in held], arrived)
    sources = {name: (parts[name], 0, ROWS) for name in _OF_QUERIES}
    if "bias" in operands:
        sources["bias"] = operands["bias"].at[head, rows], 1, ROWS

    def step(now, carry):
        found_key, found_value = carry
        weights, d_scores = _gradient_of_scores(held | now, BY_COLUMN, scale)
        found_value = tiles.add_product(found_value, weights, now["gradient"])
        return tiles.add_product(found_key, d_scores, now["query"]), found_value

    steps = operands["query"].shape[1] // ROWS
    carry = tiles.zeros(d_key.shape[-1]), tiles.zeros(d_key.shape[-1])
    found_key, found_value = tiles.stream(step, steps, sources, carry)
    held["key"][...] = (found_key * scale).astype(d_key.dtype)
    held["value"][...] = found_value.astype(d_value.dtype)
    tiles.store(
        [
            (held["key"], d_key.at[example, rows, head]),
            (held["value"], d_value.at[example, rows, head]),
        ]
    )


def _by_bias(operands, scale):
    """Returns the gradient by the bias: a program holds 64 x 64, streams examples."""
    bias = operands["bias"]
    heads, length, keys = bias.shape
    call = tiles.kernel(
        functools.partial(_bias_body, scale=scale),
        out_type=jax.ShapeDtypeStruct(bias.shape, bias.dtype),
        grid={"head": heads, "row": length // ROWS, "column": keys // ROWS},
        scratch_types=(tiles.matrix(ROWS, bias.dtype), plgpu.Barrier()),
    )
    return call(operands)


def _bias_body(operands, d_bias, tile, arrived, *, scale):
    head = jax.lax.axis_index("head")
    rows, columns = tiles.tile_of("row"), tiles.tile_of("column")
    parts = _parts(operands, slice(None), head, rows, columns)
    place = parts.pop("bias")
    tiles.fetch([(place, tile)], arrived)
    sources = {name: (part, 0, None) for name, part in parts.items()}

    def step(now, found):
        _, d_scores = _gradient_of_scores(now | {"bias": tile}, BY_ROW, scale)
        return found + d_scores

    found = tiles.stream(step, operands["query"].shape[0], sources, tiles.zeros(ROWS))
    tile[...] = found
    tiles.store([(tile, d_bias.at[head, rows, columns])])


def _parts(operands, example, head, rows, columns):
    """Returns the references of one head's queries `rows` and keys `columns`."""
    places = {
        "query": (example, rows, head),
        "gradient": (example, rows, head),
        "lse": (example, head, rows),
        "delta": (example, head, rows),
        "key": (example, columns, head),
        "value": (example, columns, head),
        "penalty": (example, columns),
        "bias": (head, rows, columns),
    }
    return {name: ref.at[places[name]] for name, ref in operands.items()}


def _gradient_of_scores(now, queries, scale):
    """Returns P and dS of a tile, float32 in registers.

    Args:
      now: the tiles in shared memory by name.
      queries: the `gpu_tiles.Side` of the result that queries are.
      scale: multiplies the scores.
    """
    # In this order: after the weights it would take up to 44 registers more.
    d_weights = tiles.product(*queries.order(now["gradient"], now["value"]))
    scores = tiles.scores(now, queries, scale=scale)
    lse, delta = (queries.load(now[name]) for name in ("lse", "delta"))
    weights = jnp.exp2(scores - queries.spread(lse, scores))
    return weights, weights * (d_weights - queries.spread(delta, scores))
