"""The same in bfloat16, in a file of its own for a second worker."""

import jax.numpy as jnp
import pytest

from pallas_kernels.attention import cases

LONG = 512  # above, a case takes seconds; test_numbers has all, in float32


def parameter(case):
    marks = [pytest.mark.slow] if min(case.length, case.keys) > LONG else []
    return pytest.param(case, marks=marks, id=case.name)


@pytest.mark.parametrize("case", [*map(parameter, cases.CASES)])
def test_output_and_gradients_are_the_definitions(hold, case):
    hold(case, jnp.bfloat16)
