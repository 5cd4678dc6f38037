"""Weak scaling: what counts as a missed figure."""

import pytest

from benchmarks.reliability import scaling
from codefusion.planning import collectives, programs


def compiled(*, arrays, inside, beyond=0.0):
    def collective(axes, sent):
        return collectives.Collective("all-reduce", axes, (), 1, sent, sent, "f32")

    return programs.Compiled(
        arguments=arrays // 2,
        outputs=0,
        temporaries=arrays - arrays // 2,
        code=0,
        flops=None,
        hbm_bytes=0.0,
        collectives=(
            collective(("fsdp",), inside),
            collective((collectives.NETWORK,), beyond),
        ),
        unknown_loops=0,
        seconds=0.0,
    )


FIRST = ("v5e:2x4", compiled(arrays=1000, inside=100.0), 0.0)


@pytest.mark.parametrize(
    ("later", "added", "number"),
    [
        (compiled(arrays=1040, inside=110.0), 20.0, 0),
        (compiled(arrays=960, inside=90.0, beyond=30.0), 20.0, 0),
        (compiled(arrays=1060, inside=110.0), 20.0, 1),
        (compiled(arrays=940, inside=110.0), 20.0, 1),
        (compiled(arrays=1000, inside=100.0, beyond=40.0), 20.0, 1),
        (compiled(arrays=1000, inside=61.0), 20.0, 0),
        (compiled(arrays=1000, inside=59.0), 20.0, 1),
        (compiled(arrays=2000, inside=200.0), 20.0, 2),
    ],
)
def test_memory_moves_by_a_twentieth_at_most_and_bytes_by_what_copies_add(
    later, added, number
):
    assert len(scaling.faults([FIRST, ("v5e:16x16", later, added)])) == number


def test_slices_are_written_before_their_topology():
    chosen = scaling.topology("16*v5e:16x16")
    assert (chosen.num_slices, chosen.num_devices) == (16, 4096)
    assert scaling.topology("v5e:2x4").num_slices == 1
