"""The real TPU compiler takes the kernels, with no TPU: `make test-tpu-compile`."""

import jax
import jax.numpy as jnp
import pytest

from pallas_kernels import deviceless
from pallas_kernels.attention import attention, bench, cases

pytestmark = [
    pytest.mark.tpu_compile,
    pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed"),
]

CASES = (
    cases.Case(128, 128, "holes", batch=8, heads=8),
    cases.Case(128, 128, "holes", True, batch=8, heads=8),
    cases.Case(1024, 1024, "holes", batch=2, heads=8),
    cases.Case(1024, 1024, "holes", True, batch=2, heads=8),
    cases.Case(129, 7, "prefix", batch=3, heads=3),
    cases.Case(512, 512, "holes", True, heads=8, head_width=32),
    cases.Case(22, 36, "prefix", heads=6, head_width=16),
)


def both(query, key, value, mask, bias, gradient):
    """Returns the output and its gradients."""

    def call(query, key, value, bias):
        return attention(query, key, value, key_mask=mask, bias=bias)

    out, pull = jax.vjp(call, query, key, value, bias)
    return out, *pull(gradient)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32], ids=["bf16", "fp32"])
@pytest.mark.parametrize("generation", deviceless.TOPOLOGIES)
def test_forward_and_backward_compile(generation, dtype, case):
    device = deviceless.chip(generation)
    found = deviceless.compile_for(device, both, *case.shapes(dtype))
    assert found.vmem_bytes > 0, "no kernel was compiled"


@pytest.mark.parametrize(
    ("length", "biased"), [(128, False), (128, True), (512, False)]
)
def test_a_short_forward_pass_touches_each_row_once(length, biased):
    case = cases.Case(length, length, "prefix", biased, batch=16, heads=8)
    arguments = {
        (name, kind): rest for name, kind, *rest in bench.programs(case, bench.ON_TPU)
    }
    device = deviceless.chip("v5e")
    ours, xla = (
        deviceless.compile_for(device, function, *shapes)
        for function, shapes in (arguments[x, "forward"] for x in ("ours", "xla"))
    )
    row = case.batch * length * case.heads * case.head_width * 2
    least = 4 * row + (4 * case.heads * length**2 if biased else 0)
    assert ours.hbm_bytes < 1.02 * least
    assert ours.temporaries == 0
    assert ours.hbm_bytes < xla.hbm_bytes
