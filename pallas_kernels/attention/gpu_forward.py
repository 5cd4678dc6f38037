"""Attention on a GPU, forward: a program holds 64 queries and streams the keys."""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.pallas import mosaic_gpu as plgpu

from pallas_kernels.attention import gpu_tiles as tiles
from pallas_kernels.attention.gpu_tiles import LOG2_E, ROWS
from pallas_kernels.attention.tiles import LEAST, TINY


def forward(query, key, value, penalty, bias, *, scale):
    """Returns the attention, bfloat16[B, T, N, H].

    Args:
      query: bfloat16[B, T, N, H], T a multiple of 64, H 32, 64 or 128.
      key, value: bfloat16[B, S, N, H], S a multiple of 64.
      penalty: added to the scores of a key, float32[B, S]; None for none.
      bias: added to the scores, float32[N, T, S]; None for none.
      scale: multiplies the scores.
    """
    kept = {"out": query}
    return _call(query, key, value, penalty, bias, kept, scale)["out"]


def forward_with_residuals(query, key, value, penalty, bias, *, scale):
    """Returns the attention and what `gpu_backward` needs of it, as a dict.

    `out` is the attention and `rest` what rounding took from it, bfloat16[B, T, N, H].
    `sums` is the base-2 logarithm of the sum of each row's weights, float32[B, N, T].
    """
    batch, length, heads, _ = query.shape
    sums = jax.ShapeDtypeStruct((batch, heads, length), jnp.float32)
    kept = {"out": query, "rest": query, "sums": sums}
    return _call(query, key, value, penalty, bias, kept, scale)


def _call(query, key, value, penalty, bias, kept, scale):
    batch, length, heads, width = query.shape
    matrix = tiles.matrix(width, query.dtype)
    held = {"query": matrix, "out": matrix, "rest": matrix, "sums": tiles.vector()}
    call = tiles.kernel(
        functools.partial(_body, scale=scale),
        out_type=kept,
        grid={"example": batch, "head": heads, "row": length // ROWS},
        scratch_types=(
            {name: held[name] for name in ("query", *kept)},
            plgpu.Barrier(),
        ),
    )
    return call(query, key, value, penalty, bias)


def _body(query, key, value, penalty, bias, kept, held, arrived, *, scale):
    example, head = jax.lax.axis_index("example"), jax.lax.axis_index("head")
    rows = tiles.tile_of("row")
    tiles.fetch([(query.at[example, rows, head], held["query"])], arrived)
    wide = key.shape[1] % (2 * ROWS) == 0 and key.shape[-1] <= 64  # shared memory
    columns = 2 * ROWS if wide else ROWS
    sources = {
        "key": (key.at[example, :, head], 0, columns),
        "value": (value.at[example, :, head], 0, columns),
    }
    if penalty is not None:
        sources["penalty"] = penalty.at[example], 0, columns
    if bias is not None:
        sources["bias"] = bias.at[head, rows], 1, columns

    def step(now, carry):
        attended, highest, total = carry
        scores = tiles.product(held["query"], now["key"]) * (scale * LOG2_E)
        if bias is not None:
            scores += tiles.load(now["bias"], tiles.MATRIX) * LOG2_E
        if penalty is not None:
            found = tiles.load(now["penalty"], tiles.PER_COLUMN)
            scores += tiles.from_columns(found, scores)
        new = jnp.maximum(highest, jnp.max(scores, axis=1))
        weights = jnp.exp2(scores - tiles.from_rows(new, scores))
        decay = jnp.exp2(highest - new)
        attended *= tiles.from_rows(decay, attended)
        attended = tiles.add_product(attended, weights, now["value"])
        return attended, new, total * decay + jnp.sum(weights, axis=1)

    carry = tiles.zeros(query.shape[-1]), tiles.per_row(LEAST), tiles.per_row(0.0)
    steps = key.shape[1] // columns
    attended, highest, total = tiles.stream(step, steps, sources, carry)
    total = jnp.maximum(total, TINY)
    attended /= tiles.from_rows(total, attended)
    rounded = attended.astype(query.dtype)
    held["out"][...] = rounded
    places = {"out": (example, rows, head)}
    if "rest" in kept:
        held["rest"][...] = (attended - rounded.astype(jnp.float32)).astype(query.dtype)
        held["sums"][...] = highest + jnp.log(total) * LOG2_E
        places |= {"rest": (example, rows, head), "sums": (example, head, rows)}
    tiles.store([(held[name], kept[name].at[places[name]]) for name in kept])
