"""How often a program runs each of its computations, and what arrays take."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from codefusion.planning import hlo

STORED = pathlib.Path(__file__).parent / "stored"


def loops(program):
    return sorted(runs for name, runs in program.runs.items() if name != program.entry)


def test_a_tpus_loop_counts_to_the_constant_it_is_compared_with():
    program = hlo.parse((STORED / "v5e.txt").read_text())
    assert (loops(program), program.unknown_loops) == ([6, 6], 0)


def test_a_loop_that_begins_later_has_fewer_trips():
    # The last layer's backward pass stands before the loop.
    program = hlo.parse((STORED / "multislice.txt").read_text())
    assert (loops(program), program.unknown_loops) == ([5, 6], 0)


LOOP = """HloModule m

%body (p: (s32[], f32[8], s32[])) -> (s32[], f32[8], s32[]) {{
  %p = (s32[], f32[8]{{0}}, s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[8]{{0}} get-tuple-element(%p), index=1
  %two = s32[] get-tuple-element(%p), index=2
  %three = s32[] constant(3)
  %next = s32[] add(%i, %{step})
  ROOT %out = (s32[], f32[8]{{0}}, s32[]) tuple(%next, %x, %two)
}}

%condition (q: (s32[], f32[8], s32[])) -> pred[] {{
  %q = (s32[], f32[8]{{0}}, s32[]) parameter(0)
  %j = s32[] get-tuple-element(%q), index=0
  %end = s32[] constant(10)
  ROOT %less = pred[] compare(%j, %end), direction=LT
}}

ENTRY %main (y: f32[8]) -> f32[8] {{
  %y = f32[8]{{0}} parameter(0)
  %begin = s32[] constant({start})
  %b = s32[] constant(2)
  %copied = s32[] copy(%begin)
  %first = (s32[], f32[8]{{0}}, s32[]) tuple(%copied, %y, %b)
  %loop = (s32[], f32[8]{{0}}, s32[]) while(%first), condition=%condition, body=%body
  ROOT %result = f32[8]{{0}} get-tuple-element(%loop), index=1
}}
"""


@pytest.mark.parametrize(
    ("start", "step", "trips"),
    [(0, "two", 5), (0, "three", 4), (1, "three", 3), (4, "two", 3)],
)
def test_a_counter_may_begin_and_grow_by_any_constant(start, step, trips):
    program = hlo.parse(LOOP.format(start=start, step=step))
    assert (loops(program), program.unknown_loops) == ([trips], 0)


def test_a_counter_that_grows_otherwise_is_no_number_of_trips():
    program = hlo.parse(LOOP.format(start=0, step="i"))
    assert (loops(program), program.unknown_loops) == ([1], 1)


def test_a_gpus_loop_notes_its_trips():
    program = hlo.parse((STORED / "gpu.txt").read_text())
    assert (loops(program), program.unknown_loops) == ([6, 6], 0)


def test_a_loop_in_a_loop_multiplies():
    def step(x, _):
        return jax.lax.scan(lambda y, _: (jnp.sin(y) @ y, None), x, length=5)[0], None

    scanned = jax.jit(lambda x: jax.lax.scan(step, x, length=3)[0])
    text = scanned.lower(jnp.ones((8, 8))).compile().as_text()
    assert max(loops(hlo.parse(text))) == 15


def test_a_loop_without_a_number_of_trips_is_counted_once_and_told():
    halve = jax.jit(
        lambda x: jax.lax.while_loop(lambda y: y[0] > 1, lambda y: y / 2, x)
    )
    program = hlo.parse(halve.lower(jnp.ones(4)).compile().as_text())
    assert (set(loops(program)), program.unknown_loops) == ({1}, 1)


def test_branches_count_once_each():
    def choose(flag, x):
        return jax.lax.cond(flag, lambda y: jnp.sin(y) @ y, lambda y: y @ y @ y, x)

    text = jax.jit(choose).lower(True, jnp.ones((8, 8))).compile().as_text()
    assert loops(hlo.parse(text)) == [1, 1]


@pytest.mark.parametrize(
    ("shape", "plain", "in_hbm"),
    [
        ("f32[6,128,1024]{2,1,0:T(8,128)}", 6 * 128 * 1024 * 4, 6 * 128 * 1024 * 4),
        ("bf16[10,64]{1,0:T(8,128)(2,1)}", 10 * 64 * 2, 16 * 128 * 2),
        ("bf16[10,64]{0,1:T(8,128)(2,1)}", 10 * 64 * 2, 64 * 128 * 2),
        ("bf16[10,64]{1,0:T(8,128)(2,1)S(1)}", 10 * 64 * 2, 0),
        ("(s32[]{:T(128)}, pred[3]{0})", 4 + 3, 4 + 3),
        ("s4[3]{0}", 2, 2),
        ("token[]", 0, 0),
        ("f8e4m3fn[16]{0}", 16, 16),
    ],
)
def test_bytes_of_arrays(shape, plain, in_hbm):
    assert hlo.array_bytes(shape) == plain
    assert hlo.array_bytes(shape, in_hbm=True) == in_hbm


def test_a_text_that_is_no_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.parse("HloModule m\n")
