"""Attention on NVIDIA GPUs of the Hopper generation, by Mosaic."""

import functools

import jax
import jax.numpy as jnp

from pallas_kernels import lowering
from pallas_kernels.attention import gpu_backward, gpu_forward
from pallas_kernels.attention.gpu_tiles import ROWS
from pallas_kernels.attention.masking import MASKED

_WIDTHS = (32, 64, 128)
_CAPABILITY = "9.0"  # wgmma is of this one alone


def reasons(query):
    """Returns why the kernels cannot serve, a list of clauses; empty where they can."""
    found = []
    if query.dtype != jnp.bfloat16:
        found.append(f"the dtype is {query.dtype}; expected bfloat16 (model.dtype)")
    if query.shape[-1] not in _WIDTHS:
        found.append(f"the head size is {query.shape[-1]}; expected one of {_WIDTHS}")
    return found + device_reasons()


def device_reasons():
    """Returns why this machine's GPU cannot serve; empty where it can or is none."""
    if jax.default_backend() != "gpu":
        return []
    found = getattr(jax.devices()[0], "compute_capability", "unknown")
    if found == _CAPABILITY:
        return []
    return [f"the GPU has compute capability {found}; expected {_CAPABILITY} (Hopper)"]


def attention(query, key, value, key_mask, bias, *, scale):
    """Returns what `reference.attention` does; see there for the arguments.

    In a branch for CUDA alone: for another platform it is zeros.
    """
    length, keys = query.shape[1], key.shape[1]
    if keys % ROWS and key_mask is None:
        key_mask = jnp.ones((key.shape[0], keys), bool)
    penalty = None
    if key_mask is not None:
        penalty = jnp.where(_padded(key_mask, 1), jnp.float32(0.0), MASKED)
    if bias is not None:
        bias = _padded(bias.astype(jnp.float32), 1, 2)
    query, key, value = (_padded(x, 1) for x in (query, key, value))
    return _attend(query, key, value, penalty, bias, float(scale))[:, :length]


def _padded(x, *axes):
    """Returns an array whose axes are multiples of a tile's rows, with zeros."""
    grown = [(0, -n % ROWS if axis in axes else 0) for axis, n in enumerate(x.shape)]
    return jnp.pad(x, grown)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attend(query, key, value, penalty, bias, scale):
    kernel = functools.partial(gpu_forward.forward, scale=scale)
    return lowering.on_platform("cuda", kernel, query, key, value, penalty, bias)


def _forward(query, key, value, penalty, bias, scale):
    operands = query, key, value, penalty, bias
    kernel = functools.partial(gpu_forward.forward_with_residuals, scale=scale)
    residuals = lowering.on_platform("cuda", kernel, *operands)
    return residuals["out"], (*operands, residuals)


def _backward(scale, residuals, gradient):
    kernel = functools.partial(gpu_backward.backward, scale=scale)
    *d_rows, d_bias = lowering.on_platform("cuda", kernel, *residuals, gradient)
    return *d_rows, None, d_bias


_attend.defvjp(_forward, _backward)
