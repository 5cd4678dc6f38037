"""The kernels against the definition in float64 and XLA's own error."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels import gpu_interpreter, interpreter
from pallas_kernels.attention import attention, gpu, reference

BOUND = {jnp.float32: 1e-5, jnp.bfloat16: 1e-2}
# What one rounding of the gradient of the scores costs. A matrix unit takes bfloat16;
# XLA for a CPU keeps float32 there, in some shapes.
ROUNDING = {jnp.float32: 0.0, jnp.bfloat16: 1.7e-3}


def compile_and_run(function, *arguments):
    return jax.jit(function)(*arguments)


def differentiate(function, inputs, dtype, execute=compile_and_run):
    """Returns the output and the gradients of query, key, value and bias."""
    *qkv, mask, bias, gradient = inputs
    operands = [jnp.asarray(x, dtype) for x in qkv]
    if bias is not None:
        wide = jnp.float64 if dtype == jnp.float64 else jnp.float32
        operands.append(jnp.asarray(bias, wide))

    def both(operands, gradient):
        def call(*operands):
            query, key, value, *rest = operands
            bias = rest[0] if rest else None
            return function(query, key, value, key_mask=mask, bias=bias)

        out, pull = jax.vjp(call, *operands)
        return out, *pull(gradient)

    found = execute(both, operands, jnp.asarray(gradient, dtype))
    return [np.asarray(x, np.float64) for x in found]


def rounded(inputs, dtype):
    """Returns the inputs as `dtype` holds them, in float64; the bias in float32."""
    *qkv, mask, bias, gradient = inputs

    def round_to(x, dtype):
        return np.asarray(jnp.asarray(x, dtype).astype(jnp.float32), np.float64)

    if bias is not None:
        bias = round_to(bias, jnp.float32)
    return *(round_to(x, dtype) for x in qkv), mask, bias, round_to(gradient, dtype)


def errors(found, true):
    """Returns the norm of each error over the norm of the true value."""
    pairs = zip(found, true, strict=True)
    norms = [(np.linalg.norm(a - b), np.linalg.norm(b)) for a, b in pairs]
    return np.array([error / norm if norm else error for error, norm in norms])


def check(case, dtype, **parameters):
    """Holds the TPU kernels to the definition and to XLA's own error."""

    def ours(inputs):
        call = functools.partial(attention, implementation="pallas")
        with interpreter.interpreted(**parameters):
            return differentiate(call, inputs, dtype)

    compare(ours, case, dtype)


def check_on_gpu(case):
    """Holds the GPU kernels to the definition and to XLA's own error."""

    def attend(query, key, value, *, key_mask, bias):
        scale = query.shape[-1] ** -0.5
        return gpu.attention(query, key, value, key_mask, bias, scale=scale)

    def ours(inputs):
        return differentiate(attend, inputs, jnp.bfloat16, execute=gpu_interpreter.run)

    compare(ours, case, jnp.bfloat16)


def compare(ours, case, dtype):
    inputs = rounded(case.inputs(), dtype)
    with jax.enable_x64(True):
        true = differentiate(reference.attention, inputs, jnp.float64)
    error = errors(ours(inputs), true)
    theirs = functools.partial(attention, implementation="xla")
    other = errors(differentiate(theirs, inputs, dtype), true)
    assert np.all(error < BOUND[dtype]), error
    other[1:] = np.hypot(other[1:], ROUNDING[dtype])
    assert np.all(error <= 1.2 * other + 3e-7), (error, other)


@pytest.fixture(scope="session")
def run():
    """(function, inputs, dtype) -> its output and gradients."""
    return differentiate


@pytest.fixture(scope="session")
def hold():
    """(case, dtype) -> fails where the kernels are not as near as they should be."""
    return check


@pytest.fixture(scope="session")
def hold_on_gpu():
    """(case) -> fails where the GPU kernels are not as near as they should be."""
    return check_on_gpu
