"""The GPU kernels against the definition, run on the host by `gpu_interpreter`."""

import functools
import re

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax import export
from jax.experimental.pallas import mosaic_gpu as plgpu

from pallas_kernels import gpu_interpreter
from pallas_kernels.attention import attention, cases

# A masked tile, two tiles of keys at once and one, T and S that fill no tile, every
# head size, and more tiles than shared memory holds at a time.
CASES = (
    cases.Case(64, 128, "prefix", batch=1, heads=2),
    cases.Case(128, 128, "none", True, batch=2, heads=1),
    cases.Case(129, 7, "holes", True, batch=2, heads=2),
    cases.Case(7, 300, "empty", True, batch=3, heads=1),
    cases.Case(1, 1, "none", batch=1, heads=1),
    cases.Case(40, 200, "empty", heads=2, head_width=32),
    cases.Case(200, 100, "holes", True, heads=1, head_width=128),
    cases.Case(300, 512, "holes", batch=1, heads=1),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_output_and_gradients_are_the_definitions(hold_on_gpu, case):
    hold_on_gpu(case)


@hypothesis.settings(max_examples=5, deadline=None, phases=[hypothesis.Phase.generate])
@hypothesis.given(
    case=st.builds(
        cases.Case,
        length=st.integers(1, 150),
        keys=st.integers(1, 150),
        mask=st.sampled_from(cases.MASKS),
        biased=st.booleans(),
        batch=st.integers(1, 2),
        heads=st.integers(1, 2),
        head_width=st.sampled_from((32, 64, 128)),
    )
)
def test_any_shape_gives_the_definitions_numbers(hold_on_gpu, case):
    hold_on_gpu(case)


def test_a_copy_is_not_there_before_its_barrier():
    def kernel(source, out, tile, arrived):
        plgpu.copy_gmem_to_smem(source, tile, arrived)
        early = tile[...]
        plgpu.barrier_wait(arrived)
        tile[...] = jnp.where(jnp.isnan(early), tile[...], 0.0)
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(tile, out)
        plgpu.wait_smem_to_gmem(0)

    call = plgpu.kernel(
        kernel,
        out_type=jax.ShapeDtypeStruct((64,), jnp.float32),
        scratch_types=(plgpu.SMEM((64,), jnp.float32), plgpu.Barrier()),
    )
    source = jnp.arange(64.0)
    np.testing.assert_array_equal(gpu_interpreter.run(call, source), source)


def test_a_wait_without_a_copy_ends_with_a_reason():
    def kernel(source, out, arrived):
        plgpu.barrier_wait(arrived)

    call = plgpu.kernel(
        kernel,
        out_type=jax.ShapeDtypeStruct((64,), jnp.float32),
        scratch_types=(plgpu.Barrier(),),
    )
    with pytest.raises(RuntimeError, match="no copy completes"):
        gpu_interpreter.run(call, jnp.arange(64.0))


@pytest.mark.parametrize(
    ("dtype", "width", "reason"),
    [
        (jnp.float32, 64, "the dtype is float32; expected bfloat16"),
        (jnp.bfloat16, 16, "the head size is 16; expected one of (32, 64, 128)"),
    ],
)
def test_what_the_gpu_kernels_do_not_take_is_refused_there_alone(dtype, width, reason):
    rows = jnp.zeros((1, 8, 2, width), dtype)
    function = jax.jit(functools.partial(attention, implementation="pallas"))
    export.export(function, platforms=["tpu"])(rows, rows, rows)
    with pytest.raises(ValueError, match=re.escape(reason)):
        export.export(function, platforms=["cuda"])(rows, rows, rows)
