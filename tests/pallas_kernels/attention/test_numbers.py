"""The kernels against the definition in float64, on what `cases.py` lists and more."""

import functools

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from pallas_kernels import interpreter
from pallas_kernels.attention import attention, cases


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_output_and_gradients_are_the_definitions(hold, case):
    hold(case, jnp.float32)


# Not shrunk: a program a try, and the shape says enough.
@hypothesis.settings(max_examples=6, deadline=None, phases=[hypothesis.Phase.generate])
@hypothesis.given(
    case=st.builds(
        cases.Case,
        length=st.integers(1, 80),
        keys=st.integers(1, 80),
        mask=st.sampled_from(cases.MASKS),
        biased=st.booleans(),
        batch=st.integers(1, 3),
        heads=st.integers(1, 5),
        head_width=st.sampled_from((8, 16, 32, 64, 128, 256)),
    )
)
def test_any_shape_gives_the_definitions_numbers(hold, case):
    hold(case, jnp.float32)


@pytest.mark.parametrize("implementation", ["xla", "pallas"])
def test_an_example_without_keys_gives_zeros_and_no_gradient(run, implementation):
    case = cases.Case(40, 24, "empty", True)
    function = functools.partial(attention, implementation=implementation)
    with interpreter.interpreted():
        found = run(function, case.inputs(), jnp.float32)
    out, *gradients, d_bias = found
    for x in (out, *gradients):
        assert np.all(x[0] == 0.0)
        assert np.any(x[1] != 0.0)
    assert np.all(np.isfinite(d_bias))


@pytest.mark.parametrize("length", [64, 600])
def test_what_masked_keys_hold_does_not_matter(length):
    case = cases.Case(length, length, "holes")
    query, key, value, mask, _, _ = case.inputs()
    other = np.where(mask[:, :, None, None], key, 1e4)
    call = functools.partial(attention, key_mask=mask, implementation="pallas")
    with interpreter.interpreted():
        one, two = (
            call(*(jnp.asarray(x, jnp.float32) for x in (query, keys, value)))
            for keys in (key, other)
        )
    np.testing.assert_array_equal(one, two)
