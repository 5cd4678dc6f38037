"""The race detector finds none in the kernels, and would find one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic.interpret import interpret_pallas_call
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels import interpreter
from pallas_kernels.attention import attention, cases

CASES = (
    cases.Case(24, 40, "holes", True),
    cases.Case(640, 520, "holes", True, heads=2, head_width=128),
)


def races_found():
    """Whether the last kernel raced, where JAX (before 0.12) does not raise for it."""
    return interpret_pallas_call.races.races_found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_two_programs_race(case):
    query, key, value, mask, bias, gradient = case.inputs()

    def call(query, key, value, bias):
        return attention(
            query, key, value, key_mask=mask, bias=bias, implementation="pallas"
        )

    operands = [jnp.asarray(x, jnp.float32) for x in (query, key, value, bias)]
    with interpreter.interpreted(detect_races=True, num_cores_or_threads=2):
        out, pull = jax.vjp(call, *operands)
        assert not races_found()
        found = pull(jnp.asarray(gradient, jnp.float32))
    assert not races_found()
    assert all(np.all(np.isfinite(x)) for x in (out, *found))


def test_a_planted_race_is_seen():
    def kernel(x, out):
        out[...] = x[...]

    run = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((8, 128), jnp.float32),
        grid=(2,),
        in_specs=[pl.BlockSpec((8, 128), lambda i: (i, 0))],
        out_specs=pl.BlockSpec((8, 128), lambda i: (0, 0)),  # both write here
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
        interpret=pltpu.InterpretParams(detect_races=True, num_cores_or_threads=2),
    )
    try:
        jax.block_until_ready(run(jnp.zeros((16, 128))))
    except jax.errors.JaxRuntimeError as error:
        pltpu.reset_tpu_interpret_mode_state()
        assert "RACE DETECTED" in str(error)
    else:
        assert races_found()


def test_a_read_out_of_bounds_raises():
    def kernel(x, out):
        out[...] = x[pl.ds(pl.program_id(0) * 8 + 4, 8)]

    run = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((16, 128), jnp.float32),
        grid=(2,),
        out_specs=pl.BlockSpec((8, 128), lambda i: (i, 0)),
        interpret=pltpu.InterpretParams(),
    )
    with pytest.raises(Exception, match="(?i)out-of-bounds"):
        jax.block_until_ready(run(jnp.zeros((16, 128))))
    pltpu.reset_tpu_interpret_mode_state()
