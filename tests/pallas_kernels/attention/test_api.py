"""What is refused, and what is chosen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from pallas_kernels.attention import attention

ROWS = jnp.zeros((2, 16, 4, 64))
WRONG = {
    "query has shape (2, 16, 256); expected [B, T, N, H]": dict(
        query=jnp.zeros((2, 16, 256))
    ),
    "key has shape (2, 16, 256); expected [B, S, N, H]": dict(
        key=jnp.zeros((2, 16, 256))
    ),
    "key has shape (3, 16, 4, 64); expected (2, 16, 4, 64)": dict(
        key=jnp.zeros((3, 16, 4, 64))
    ),
    "value has shape (2, 16, 4, 32); expected (2, 16, 4, 64)": dict(
        value=jnp.zeros((2, 16, 4, 32))
    ),
    "key_mask has shape (2, 15); expected (2, 16)": dict(
        key_mask=jnp.ones((2, 15), bool)
    ),
    "key_mask has dtype int32; expected bool": dict(
        key_mask=jnp.ones((2, 16), jnp.int32)
    ),
    "bias has shape (2, 4, 16, 16); expected (4, 16, 16)": dict(
        bias=jnp.zeros((2, 4, 16, 16))
    ),
    "bias has dtype int32; expected a float type": dict(
        bias=jnp.zeros((4, 16, 16), jnp.int32)
    ),
    "query has dtype float16; expected bfloat16 or float32": dict(
        query=jnp.zeros((2, 16, 4, 64), jnp.float16)
    ),
    "value has dtype bfloat16; expected the query's, float32": dict(
        value=jnp.zeros((2, 16, 4, 64), jnp.bfloat16)
    ),
    "implementation is 'triton'; expected one of": dict(implementation="triton"),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_name_what_was_got_and_expected(message):
    arguments = dict(query=ROWS, key=ROWS, value=ROWS) | WRONG[message]
    with pytest.raises(ValueError) as error:
        attention(**arguments)
    assert message in str(error.value)


def test_a_head_size_that_fits_no_register_is_refused_by_the_kernel_alone():
    rows = jnp.zeros((1, 8, 2, 48))
    assert attention(rows, rows, rows).shape == rows.shape
    with pytest.raises(ValueError, match="head size is 48; expected a divisor"):
        attention(rows, rows, rows, implementation="pallas")


def test_the_kernel_by_name_is_refused_on_a_cpu():
    call = functools.partial(attention, implementation="pallas")
    for function in (call, jax.jit(call), jax.grad(lambda *x: jnp.sum(call(*x)))):
        with pytest.raises(ValueError, match="serves TPUs"):
            function(ROWS, ROWS, ROWS)


def test_the_platform_of_the_program_chooses():
    function = jax.jit(attention)
    for platform, kernel in {"tpu": True, "cpu": False, "cuda": False}.items():
        exported = export.export(function, platforms=[platform])(ROWS, ROWS, ROWS)
        assert ("tpu_custom_call" in exported.mlir_module()) == kernel


def test_one_program_exports_for_every_platform():
    exported = export.export(jax.jit(attention), platforms=["cpu", "cuda", "tpu"])(
        ROWS, ROWS, ROWS
    )
    assert jnp.all(exported.call(ROWS, ROWS, ROWS) == 0.0)


def test_the_gradient_of_the_program_for_every_platform_is_exported_too():
    def loss(query, key, value):
        return jnp.sum(jnp.square(attention(query, key, value)))

    function = jax.jit(jax.grad(loss))
    exported = export.export(function, platforms=["tpu", "cpu"])(ROWS, ROWS, ROWS)
    module = exported.mlir_module()
    assert module.count("stablehlo.custom_call @tpu_custom_call") == 2
    assert jnp.all(exported.call(ROWS, ROWS, ROWS) == 0.0)


@pytest.mark.parametrize("implementation", [None, "xla"])
def test_vmap_is_the_call_of_each(implementation):
    rows = jnp.asarray(np.random.default_rng(0).standard_normal((3, 3, 2, 8, 2, 64)))
    rows = rows.astype(jnp.float32)
    call = functools.partial(attention, implementation=implementation)
    found = jax.vmap(call)(*rows)
    each = [call(*(x[i] for x in rows)) for i in range(3)]
    np.testing.assert_allclose(found, jnp.stack(each), atol=1e-6)
