"""One program of all steps gives what a loop over steps gives, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels import interpreter, resident_denoiser
from pallas_kernels.resident_denoiser import cases

CASES = {
    "tiny": cases.TINY,
    "without its estimate": dataclasses.replace(cases.TINY, conditioned=False),
    "one source token": dataclasses.replace(cases.TINY, keys=1),
    "the paper's width": dataclasses.replace(
        cases.PAPER, num_layers=2, num_steps=2, length=32, keys=24, dtype="float32"
    ),
}


def run(case, arguments, implementation):
    """Returns the last estimate."""

    @jax.jit
    def sample(*arguments):
        return resident_denoiser.sample(
            *arguments, num_heads=case.num_heads, implementation=implementation
        )

    return sample(*arguments)


@pytest.mark.parametrize("name", CASES)
def test_one_program_is_the_loop_over_steps(name):
    case, arguments = CASES[name], CASES[name].inputs()
    expected = run(case, arguments, "xla")
    with interpreter.interpreted():
        found = run(case, arguments, "pallas")
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert np.std(expected) > 0.1


def test_bfloat16_stays_as_near_as_its_rounding():
    case = dataclasses.replace(cases.TINY, dtype="bfloat16")
    arguments = case.inputs()
    expected = run(case, arguments, "xla")
    with interpreter.interpreted():
        found = run(case, arguments, "pallas")
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert 0.0 < error < 0.03


def test_what_masked_source_positions_hold_does_not_matter():
    weights, steps, x1, key_values, _ = cases.TINY.inputs()
    mask = jnp.arange(cases.TINY.keys)[None] < jnp.array([[5], [9]])
    other = jnp.where(mask[None, None, :, :, None], key_values, 100.0)
    with interpreter.interpreted():
        one, two = (
            run(cases.TINY, (weights, steps, x1, kv, mask), "pallas")
            for kv in (key_values, other)
        )
    np.testing.assert_array_equal(one, two)


def test_a_candidate_does_not_depend_on_the_others():
    weights, steps, x1, *rest = cases.TINY.inputs()
    with interpreter.interpreted():
        all_three = run(cases.TINY, (weights, steps, x1, *rest), "pallas")
        last = run(cases.TINY, (weights, steps, x1[:, 2:], *rest), "pallas")
    np.testing.assert_array_equal(all_three[:, 2:], last)


WRONG = {
    "key_mask has dtype int32; expected bool": dict(
        key_mask=jnp.ones((2, 22), jnp.int32)
    ),
    "key_mask has shape (2, 21); expected (2, 22)": dict(
        key_mask=jnp.ones((2, 21), bool)
    ),
    "expected [B, C, L, E]": dict(x1=jnp.zeros((2, 14, 8))),
    "key_values has dtype bfloat16; expected the weights', float32": dict(
        key_values=jnp.zeros((2, 2, 2, 22, 32), jnp.bfloat16)
    ),
    "num_heads is 3; expected a divisor of 32": dict(num_heads=3),
    "implementation is 'gpu'; expected one of": dict(implementation="gpu"),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_name_what_was_got_and_expected(message):
    names = ("weights", "steps", "x1", "key_values", "key_mask")
    arguments = dict(zip(names, cases.TINY.inputs(), strict=True), num_heads=2)
    with pytest.raises(ValueError) as error:
        resident_denoiser.sample(**(arguments | WRONG[message]))
    assert message in str(error.value)


def test_on_a_cpu_the_loop_serves_and_the_program_is_refused():
    arguments = cases.TINY.inputs()
    loop, best = (run(cases.TINY, arguments, name) for name in ("xla", None))
    np.testing.assert_array_equal(loop, best)
    with pytest.raises(ValueError, match="serves TPUs"):
        run(cases.TINY, arguments, "pallas")
