"""Bytes of HBM of programs written by hand, and of compiled ones."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from codefusion.planning import hlo, traffic
from pallas_kernels import deviceless, hbm

STORED = pathlib.Path(__file__).parent / "stored"
ROW = 128 * 4  # bytes of f32[128]

FUSED = """HloModule m

%fused (table: f32[100,128], index: s32[], row: f32[1,128]) -> {result} {{
  %table = f32[100,128]{{1,0}} parameter(0)
  %index = s32[]{{:S(6)}} parameter(1)
  %row = f32[1,128]{{1,0}} parameter(2)
  %zero = s32[] constant(0)
  {body}
}}

ENTRY %main (a: f32[100,128], b: s32[], c: f32[1,128]) -> {result} {{
  %a = f32[100,128]{{1,0}} parameter(0)
  %b = s32[]{{:S(6)}} parameter(1)
  %c = f32[1,128]{{1,0}} parameter(2)
  ROOT %f = {result} fusion(%a, %b, %c), kind=kLoop, calls=%fused
}}
"""
WHOLE, PART = "f32[100,128]{1,0}", "f32[1,128]{1,0}"
BODIES = {
    # What is sliced costs the slice, and what is updated in place the update.
    "slice": (
        PART,
        f"%s = {PART} dynamic-slice(%table, %index, %zero)"
        f"\n  ROOT %sum = {PART} add(%s, %row)",
        3 * ROW,
    ),
    "update": (
        WHOLE,
        f"ROOT %u = {WHOLE} dynamic-update-slice(%table, %row, %index, %zero)",
        2 * ROW,
    ),
    "all": (WHOLE, f"ROOT %n = {WHOLE} negate(%table)", 200 * ROW),
    "handed on": (
        f"({WHOLE}, {PART})",
        f"%n = {PART} negate(%row)\n  ROOT %t = ({WHOLE}, {PART}) tuple(%table, %n)",
        2 * ROW,
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_fusion_moves_what_it_uses(name):
    result, body, expected = BODIES[name]
    program = hlo.parse(FUSED.format(result=result, body=body))
    assert traffic.hbm_bytes(program) == expected


def test_a_loop_moves_its_body_as_often_as_it_runs():
    def total(length):
        def step(x, _):
            return jnp.sin(x), None

        scanned = jax.jit(lambda x: jax.lax.scan(step, x, length=length)[0])
        text = scanned.lower(jnp.ones((64, 64))).compile().as_text()
        return traffic.hbm_bytes(hlo.parse(text))

    each = 2 * 64 * 64 * 4
    assert total(40) - total(10) == pytest.approx(30 * each, rel=0.1)


def test_what_stays_in_the_chips_own_memory_is_not_moved():
    program = hlo.parse((STORED / "v5e.txt").read_text())
    parameters = 2 * 6 * 512 * 2048 // 8 * 4
    moved = traffic.hbm_bytes(program)
    # Read once and written once, and little else: all fits in VMEM.
    assert 2 * parameters < moved < 4 * parameters


@pytest.mark.tpu_compile
@pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed")
def test_without_a_loop_it_is_what_the_kernels_count():
    place = jax.sharding.SingleDeviceSharding(deviceless.chip("v5e"))
    x = jax.ShapeDtypeStruct((4096, 4096), jnp.bfloat16, sharding=place)
    text = jax.jit(lambda x: jnp.sin(x @ x) @ x).lower(x).compile().as_text()
    assert traffic.hbm_bytes(hlo.parse(text)) == pytest.approx(hbm.traffic(text))
