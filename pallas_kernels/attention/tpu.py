"""Attention on TPU: from [B, T, N, H] to the kernels' layout and back."""

import functools

import jax
import jax.numpy as jnp

from pallas_kernels import lowering
from pallas_kernels.attention import tpu_long, tpu_short
from pallas_kernels.attention.layout import LANES, Layout
from pallas_kernels.attention.tiles import Plan

_SHORT = 512  # the longest row that is taken at once


def reasons(query):
    """Returns why the kernels cannot serve, a list of clauses; empty where they can."""
    width = query.shape[-1]
    if LANES % width and width % LANES:
        return [f"the head size is {width}; expected a divisor or a multiple of 128"]
    return []


def attention(query, key, value, key_mask, bias, *, scale, interpret=False):
    """Returns what `reference.attention` does; see there for the arguments.

    In a branch for TPUs alone, or interpreted: for another platform it is zeros.

    Args:
      interpret: False, or the parameters of the interpreter that stands for a TPU.
    """
    layout = Layout(*query.shape[2:])
    length, keys = padded = query.shape[1], key.shape[1]
    kernels = tpu_short
    if not _is_short(layout, *padded, biased=bias is not None):
        kernels = tpu_long
        bias_heads = 0 if bias is None else layout.group_heads
        padded = [
            tpu_long.padded(n, query.dtype, bias_heads=bias_heads) for n in padded
        ]
    if padded[1] != keys and key_mask is None:
        key_mask = jnp.ones((query.shape[0], keys), bool)
    if key_mask is not None:
        key_mask = jnp.pad(key_mask, ((0, 0), (0, padded[1] - keys)))
        key_mask = key_mask.astype(jnp.int32)[:, None]
    out = _attend(
        layout.pack(query, padded[0]),
        layout.pack(key, padded[1]),
        layout.pack(value, padded[1]),
        key_mask,
        None if bias is None else layout.pack_bias(bias, *padded),
        kernels,
        Plan(layout, float(scale), interpret),
    )
    return layout.unpack(out, length)


def _is_short(layout, length, keys, *, biased):
    return max(length, keys) <= _SHORT and tpu_short.fits(
        layout, length, keys, biased=biased
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _attend(query, key, value, mask, bias, kernels, plan):
    return _run(kernels.forward, plan, query, key, value, mask, bias)


def _forward(query, key, value, mask, bias, kernels, plan):
    kept = (query, key, value, mask, bias)
    if kernels is tpu_short:
        return _run(kernels.forward, plan, *kept), (kept, ())
    out, lse = _run(tpu_long.forward_with_lse, plan, *kept)
    return out, (kept, (out, lse))


def _backward(kernels, plan, residuals, gradient):
    kept, found = residuals
    *d_rows, d_bias = _run(kernels.backward, plan, *kept, *found, gradient)
    return *d_rows, None, d_bias


def _run(kernel, plan, *operands):
    kernel = functools.partial(kernel, plan=plan)
    if plan.interpret:
        return kernel(*operands)
    return lowering.on_platform("tpu", kernel, *operands)


_attend.defvjp(_forward, _backward)
