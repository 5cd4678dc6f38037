"""The same in bfloat16, in a file of its own for a second worker."""

import jax.numpy as jnp
import pytest

from pallas_kernels.attention import cases


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_output_and_gradients_are_the_definitions(hold, case):
    hold(case, jnp.bfloat16)
