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
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from pallas_kernels import gpu_interpreter
from pallas_kernels.attention import attention, cases, gpu_forward, masking

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


@pytest.mark.parametrize("case", [CASES[1], CASES[7]], ids=lambda case: case.name)
def test_without_a_gradient_the_output_is_the_same(case):
    *rows, mask, bias, _ = case.inputs()
    query, key, value = (jnp.asarray(x, jnp.bfloat16) for x in rows)
    query = jnp.pad(query, ((0, 0), (0, -query.shape[1] % 64), (0, 0), (0, 0)))
    if mask is not None:
        mask = jnp.where(mask, 0.0, masking.MASKED).astype(jnp.float32)
    if bias is not None:
        bias = jnp.asarray(bias, jnp.float32)
    alone, kept = (
        gpu_interpreter.run(
            functools.partial(forward, scale=0.1), query, key, value, mask, bias
        )
        for forward in (gpu_forward.forward, gpu_forward.forward_with_residuals)
    )
    np.testing.assert_array_equal(alone, kept["out"])


def read_early(source, out, tile, arrived):
    plgpu.copy_gmem_to_smem(source, tile, arrived)
    early = tile[...]
    plgpu.barrier_wait(arrived)
    tile[...] = jnp.where(jnp.isnan(early), tile[...], 0.0)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(tile, out)
    plgpu.wait_smem_to_gmem(0)


def wait_for_nothing(source, out, tile, arrived):
    plgpu.barrier_wait(arrived)


def commit_nothing(source, out, tile, arrived):
    tile[...] = jnp.zeros((64,))
    plgpu.copy_smem_to_gmem(tile, out)
    plgpu.wait_smem_to_gmem(0)


def leave_early(source, out, tile, arrived):
    plgpu.copy_gmem_to_smem(source, tile, arrived)
    plgpu.barrier_wait(arrived)
    plgpu.copy_smem_to_gmem(tile, out)


def read_out_of_bounds(source, out, tile, arrived):
    plgpu.copy_gmem_to_smem(
        source.at[pl.ds(jax.lax.axis_index("i") + 1, 64)], tile, arrived
    )


def interpret(kernel):
    """Returns what a kernel makes of 0 to 63."""
    call = plgpu.kernel(
        kernel,
        out_type=jax.ShapeDtypeStruct((64,), jnp.float32),
        grid=(1,),
        grid_names=("i",),
        scratch_types=(plgpu.SMEM((64,), jnp.float32), plgpu.Barrier()),
    )
    return gpu_interpreter.run(call, jnp.arange(64.0))


def test_a_copy_is_not_there_before_its_barrier():
    np.testing.assert_array_equal(interpret(read_early), np.arange(64.0))


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (wait_for_nothing, "no copy completes"),
        (commit_nothing, "not committed"),
        (leave_early, "ends before its copies"),
        (read_out_of_bounds, "1 to 65 is out of an axis of 64"),
    ],
)
def test_a_planted_fault_is_seen(kernel, reason):
    with pytest.raises(RuntimeError, match=reason):
        interpret(kernel)


def test_one_program_holds_the_kernels_of_both_accelerators():
    rows = jnp.zeros((1, 8, 2, 64), jnp.bfloat16)
    function = jax.jit(functools.partial(attention, implementation="pallas"))
    for platforms in (["cuda"], ["tpu"], ["cuda", "tpu"]):
        text = export.export(
            function,
            platforms=platforms,
            disabled_checks=[export.DisabledSafetyCheck.custom_call("mosaic_gpu_v2")],
        )(rows, rows, rows).mlir_module()
        assert ("mosaic_gpu" in text) == ("cuda" in platforms)
        assert ("tpu_custom_call" in text) == ("tpu" in platforms)


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
