"""What of the denoiser the TPU compiler fits into VMEM: `make test-tpu-compile`."""

import dataclasses
import functools

import pytest

from pallas_kernels import deviceless
from pallas_kernels.resident_denoiser import cases, tpu

pytestmark = [
    pytest.mark.tpu_compile,
    pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed"),
]


def compiled(generation, case):
    """Returns what the compiler says of a case."""
    sample = functools.partial(tpu.sample, num_heads=case.num_heads)
    device = deviceless.chip(generation)
    return deviceless.compile_for(device, sample, *case.shapes())


@pytest.mark.parametrize("draws", [1, 8])
@pytest.mark.parametrize("generation", ["v5e", "v6e"])
def test_the_papers_denoiser_fits_and_is_read_once(generation, draws):
    case = dataclasses.replace(cases.PAPER, draws=draws)
    weights, _, x1, key_values, _ = case.shapes()
    found = compiled(generation, case)
    assert found.vmem_bytes < tpu.vmem_needed(weights, x1, key_values)
    moved = weights.nbytes + key_values.size * 2 + 2 * x1.size * 4
    assert found.hbm_bytes < 1.02 * moved


@pytest.mark.parametrize(("generation", "layers"), [("v5p", 8), ("tpu7x", 6)])
def test_fewer_layers_fit_where_there_is_less_vmem(generation, layers):
    case = dataclasses.replace(cases.PAPER, num_layers=layers)
    assert compiled(generation, case).vmem_bytes > 0


def test_what_does_not_fit_is_refused_by_the_compiler():
    case = dataclasses.replace(cases.PAPER, num_layers=20)
    with pytest.raises(Exception, match="(?i)vmem"):
        compiled("v5e", case)
