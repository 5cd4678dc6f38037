"""The real GPU compilers take the kernels, with no GPU: `make test-gpu-compile`."""

import jax
import jax.numpy as jnp
import pytest

from pallas_kernels import deviceless
from pallas_kernels.attention import attention, cases

pytestmark = [
    pytest.mark.gpu_compile,
    pytest.mark.skipif(
        not deviceless.is_gpu_available(), reason="the CUDA plugin is not installed"
    ),
]

CASES = (
    cases.Case(128, 128, "none", batch=8, heads=8),
    cases.Case(128, 128, "holes", True, batch=8, heads=8),
    cases.Case(1024, 1024, "holes", True, batch=2, heads=8),
    cases.Case(129, 7, "prefix", batch=3, heads=3),
    cases.Case(200, 300, "holes", True, heads=8, head_width=32),
    cases.Case(200, 300, "holes", True, heads=2, head_width=128),
    cases.Case(512, 512, "none", heads=2, head_width=128),
)
MOST_SPILLED = 32  # bytes, where heads of 128 with a bias fill the registers


def both(query, key, value, mask, bias, gradient):
    """Returns the output and its gradients."""

    def call(query, key, value, bias):
        return attention(
            query, key, value, key_mask=mask, bias=bias, implementation="pallas"
        )

    out, pull = jax.vjp(call, query, key, value, bias)
    return out, *pull(gradient)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward_and_backward_compile_for_sm_90a(case):
    found = deviceless.compile_for(deviceless.gpu(), both, *case.shapes(jnp.bfloat16))
    assert len(found.registers) == (4 if case.biased else 3)
    fills = case.biased and case.head_width == 128
    assert max(found.spilled) <= (MOST_SPILLED if fills else 0)


def test_a_forward_pass_alone_is_one_kernel():
    *rows, mask, bias, _ = CASES[1].shapes(jnp.bfloat16)

    def call(query, key, value, mask, bias):
        return attention(
            query, key, value, key_mask=mask, bias=bias, implementation="pallas"
        )

    found = deviceless.compile_for(deviceless.gpu(), call, *rows, mask, bias)
    assert len(found.registers) == 1
    assert found.temporaries < 2 * mask.size * 4 + 1024  # the mask as numbers


def test_no_scores_reach_hbm():
    case = cases.Case(1024, 1024, "prefix", batch=4, heads=8)
    found = deviceless.compile_for(deviceless.gpu(), both, *case.shapes(jnp.bfloat16))
    scores = 4 * case.batch * case.heads * case.length * case.keys
    assert found.temporaries < scores / 2


def test_without_a_name_xla_serves():
    *rows, mask, _, _ = CASES[1].shapes(jnp.bfloat16)

    def call(query, key, value, mask):
        return attention(query, key, value, key_mask=mask)

    found = deviceless.compile_for(deviceless.gpu(), call, *rows, mask)
    assert not found.registers
