"""Seconds that follow from bytes, FLOPs and the table of chips."""

import dataclasses
import types

import pytest

from codefusion.planning import chips, collectives, programs, rooflines

V5E = chips.CHIPS["v5e"]


def torus(text):
    """Returns a topology and devices with the places of its chips."""
    topology = chips.parse(text)
    x, y = topology.shape
    places = [[i, j, 0] for i in range(x) for j in range(y)]
    return topology, [types.SimpleNamespace(coords=place) for place in places]


def collective(group, *, axes=("fsdp",), sent=1e9, runs=1):
    return collectives.Collective("all-gather", axes, group, runs, sent, sent, "bf16")


def compiled(*found, hbm_bytes=0.0):
    return programs.Compiled(
        arguments=0,
        outputs=0,
        temporaries=0,
        code=0,
        flops=None,
        hbm_bytes=hbm_bytes,
        collectives=found,
        unknown_loops=0,
        seconds=0.0,
    )


@pytest.mark.parametrize(
    ("text", "group", "links"),
    [
        ("v5e:16x16", range(16), 2),  # an axis that closes: both directions
        ("v5e:16x16", range(8), 1),  # a part of it does not
        ("v5e:16x16", range(256), 4),  # both axes
        ("v5e:2x4", range(8), 2),  # two axes that do not close
    ],
)
def test_a_group_has_the_links_of_the_axes_that_it_spans(text, group, links):
    topology, devices = torus(text)
    found = rooflines.link(topology, devices, collective(tuple(group)))
    assert found == ("interconnect", links * V5E.link_bandwidth)


def test_what_leaves_a_slice_has_the_network():
    topology, devices = torus("v5e:2x4")
    found = rooflines.link(topology, devices, collective((), axes=("network",)))
    assert found == ("network", V5E.network_bandwidth)


def test_gpus_of_two_nodes_meet_on_the_network():
    topology = chips.parse("gpu:16")
    devices = [types.SimpleNamespace(process_index=i // 8) for i in range(16)]
    inside = rooflines.link(topology, devices, collective(tuple(range(8))))
    across = rooflines.link(topology, devices, collective((0, 8)))
    assert (inside[0], across[0]) == ("interconnect", "network")


def test_each_resource_takes_its_bytes_over_its_speed():
    topology, devices = torus("v5e:2x4")
    program = compiled(
        collective(tuple(range(8)), runs=3),
        collective((), axes=("network",)),
        hbm_bytes=819e9,
    )
    found = rooflines.roofline(
        topology, devices, program, flops=8 * 197e12, dtype="bfloat16"
    )
    assert dataclasses.astuple(found) == pytest.approx((1.0, 1.0, 0.03, 0.32))
    assert found.overlapped == pytest.approx(1.0)
    assert found.serial == pytest.approx(1.35)
    assert found.bound in ("compute", "hbm")


def test_float32_runs_at_half_the_peak_on_gpus_alone():
    topology = chips.parse("gpu:8")
    devices = [types.SimpleNamespace(process_index=0)] * 8
    times = [
        rooflines.roofline(topology, devices, compiled(), flops=1e15, dtype=dtype)
        for dtype in ("float32", "bfloat16")
    ]
    assert times[0].compute == 2 * times[1].compute
