"""Attention on a GPU, forward: a program holds 64 queries and streams the keys."""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.pallas import mosaic_gpu as plgpu

from pallas_kernels.attention import gpu_tiles as tiles
from pallas_kernels.attention.gpu_tiles import BY_ROW, LOG2_E, ROWS
from pallas_kernels.attention.masking import LEAST, TINY

# Models call attention many times with the same shapes.
_traced_once = functools.partial(jax.jit, static_argnames="scale")


@_traced_once
def forward(query, key, value, penalty, bias, *, scale):
    """Returns the attention, bfloat16[B, T, N, H].

    Args:
      query: bfloat16[B, T, N, H], T a multiple of 64, H 32, 64 or 128.
      key, value: bfloat16[B, S, N, H], S a multiple of 64.
      penalty: 0 for a key that may be attended to, `MASKED` for another, float32[B, S];
        None for all keys.
      bias: added to the scores, float32[N, T, S]; None for none.
      scale: multiplies the scores.
    """
    outputs = {"out": _like(query)}
    return _call(query, key, value, penalty, bias, outputs, scale)["out"]


@_traced_once
def forward_with_residuals(query, key, value, penalty, bias, *, scale):
    """Returns the attention and what `gpu_backward` needs of it, as a dict.

    `out` is the attention and `rest` what rounding took from it, bfloat16[B, T, N, H].
    `lse` is log2 of the sum over keys of exp(score), float32[B, N, T].
    """
    batch, length, heads, _ = query.shape
    lse = jax.ShapeDtypeStruct((batch, heads, length), jnp.float32)
    outputs = {"out": _like(query), "rest": _like(query), "lse": lse}
    return _call(query, key, value, penalty, bias, outputs, scale)


def _like(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _call(query, key, value, penalty, bias, outputs, scale):
    batch, length, heads, width = query.shape
    assert length % ROWS == 0 and key.shape[1] % ROWS == 0, (length, key.shape)
    matrix = tiles.matrix(width, query.dtype)
    held = {"query": matrix, "out": matrix, "rest": matrix, "lse": tiles.vector()}
    call = tiles.kernel(
        functools.partial(_body, scale=scale),
        out_type=outputs,
        grid={"example": batch, "head": heads, "row": length // ROWS},
        scratch_types=(
            {name: held[name] for name in ("query", *outputs)},
            plgpu.Barrier(),
        ),
    )
    return call(query, key, value, penalty, bias)


def _body(query, key, value, penalty, bias, outputs, held, arrived, *, scale):
    example, head = jax.lax.axis_index("example"), jax.lax.axis_index("head")
    rows = tiles.tile_of("row")
    tiles.fetch([(query.at[example, rows, head], held["query"])], arrived)
    # Two stages of wider tiles of wider heads and a bias exceed 227 KiB.
    wide = key.shape[1] % (2 * ROWS) == 0 and key.shape[-1] <= 64
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
        now = {"query": held["query"]} | now
        scores = tiles.scores(now, BY_ROW, scale=scale)
        new = jnp.maximum(highest, jnp.max(scores, axis=1))
        weights = jnp.exp2(scores - BY_ROW.spread(new, scores))
        decay = jnp.exp2(highest - new)
        attended *= BY_ROW.spread(decay, attended)
        attended = tiles.add_product(attended, weights, now["value"])
        return attended, new, total * decay + jnp.sum(weights, axis=1)

    carry = tiles.zeros(query.shape[-1]), BY_ROW.full(LEAST), BY_ROW.full(0.0)
    steps = key.shape[1] // columns
    attended, highest, total = tiles.stream(step, steps, sources, carry)
    total = jnp.maximum(total, TINY)
    attended /= BY_ROW.spread(total, attended)
    rounded = attended.astype(query.dtype)
    held["out"][...] = rounded
    places = {"out": (example, rows, head)}
    if "rest" in outputs:
        held["rest"][...] = (attended - rounded.astype(jnp.float32)).astype(query.dtype)
        held["lse"][...] = highest + jnp.log(total) * LOG2_E
        places |= {"rest": (example, rows, head), "lse": (example, head, rows)}
    tiles.store([(held[name], outputs[name].at[places[name]]) for name in outputs])
