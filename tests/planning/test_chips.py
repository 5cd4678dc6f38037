"""The table of chips and the texts that name topologies."""

import re

import jax
import jax.numpy as jnp
import pytest

from codefusion.planning import chips
from pallas_kernels import deviceless

LARGEST = {
    "v4": "v4:2x2x2",
    "v5e": "v5e:16x16",
    "v5p": "v5p:4x4x4",
    "v6e": "v6e:16x16",
    "tpu7x": "tpu7x:2x2x1",
}


def test_every_generation_that_can_be_compiled_for_has_its_facts():
    assert set(chips.CHIPS) == {*deviceless.TOPOLOGIES, "gpu"}
    for chip in chips.CHIPS.values():
        assert chip.source
        assert 1e13 < chip.peak_flops < 1e16
        assert 10 * chips.GIB < chip.hbm_bytes < 200 * chips.GIB
        # Each level is slower than the one within it.
        speeds = chip.hbm_bandwidth, chip.link_bandwidth, chip.network_bandwidth
        assert sorted(speeds, reverse=True) == list(speeds)


@pytest.mark.parametrize(
    ("text", "slices", "devices", "name"),
    [
        ("v5e:16x16", 1, 256, "v5e:16x16"),
        ("v5e:16x16", 16, 4096, "16 x v5e:16x16"),
        ("v4:4x4x4", 1, 64, "v4:4x4x4"),
        ("tpu7x:2x2x1", 2, 16, "2 x tpu7x:2x2x1"),
        ("gpu:8", 1, 8, "gpu:8"),
    ],
)
def test_a_text_names_a_topology(text, slices, devices, name):
    topology = chips.parse(text, num_slices=slices)
    assert (topology.num_devices, str(topology)) == (devices, name)


@pytest.mark.parametrize(
    ("text", "slices", "message"),
    [
        ("v9:2x2", 1, "expected a generation of v4, v5e, v5p, v6e, tpu7x, gpu"),
        ("v5e", 1, "such as v5e:16x16"),
        ("v5e:0x4", 1, "such as v5e:16x16"),
        ("v5e:2x2x2", 1, "expected 2 axes"),
        ("v5e:32x32", 1, "at most 256 chips"),
        ("v5e:4x4", 0, "--num_slices is 0; expected 1 or more"),
        ("gpu:12", 1, "whole nodes of 8"),
        ("gpu:2x4", 1, "whole nodes of 8"),
        ("gpu:8", 2, "such as gpu:16"),
    ],
)
def test_a_wrong_text_is_told_what_would_be_right(text, slices, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        chips.parse(text, num_slices=slices)


def test_without_libtpu_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(deviceless, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="pip install libtpu"):
        chips.parse("v5e:2x4").devices()


@pytest.mark.tpu_compile
@pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed")
@pytest.mark.parametrize("text", [*LARGEST.values(), "v5e:1x1", "v6e:1x1", "v5e:2x4"])
def test_jax_counts_the_devices_as_the_table_does(text):
    topology = chips.parse(text)
    assert len(topology.devices()) == topology.num_devices


@pytest.mark.tpu_compile
@pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed")
@pytest.mark.parametrize("generation", deviceless.TOPOLOGIES)
def test_a_program_may_use_as_much_memory_as_the_table_says(generation):
    place = jax.sharding.SingleDeviceSharding(deviceless.chip(generation))
    too_large = jax.ShapeDtypeStruct((2**38,), jnp.uint8, sharding=place)
    with pytest.raises(jax.errors.JaxRuntimeError) as error:
        jax.jit(lambda x: x + 1).lower(too_large).compile()
    found = re.search(r"available HBM \(([\d.]+)G\)", str(error.value)).group(1)
    assert int(float(found) * chips.GIB) == chips.CHIPS[generation].hbm_bytes


@pytest.mark.tpu_compile
@pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed")
def test_a_topology_that_the_compiler_refuses_is_one_line():
    with pytest.raises(ValueError, match="v5e:3x5.*which the compiler does not know"):
        chips.parse("v5e:3x5").devices()


@pytest.mark.gpu_compile
@pytest.mark.skipif(not deviceless.is_gpu_available(), reason="no CUDA plugin")
@pytest.mark.parametrize("number", [1, 8, 16])
def test_nodes_of_gpus_have_eight_each(number):
    devices = chips.parse(f"gpu:{number}").devices()
    nodes = {device.process_index for device in devices}
    assert (len(devices), len(nodes)) == (number, max(number // 8, 1))
