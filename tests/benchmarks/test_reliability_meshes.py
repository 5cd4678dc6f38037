"""The toy on one and two devices; the full set is `make test-reliability`."""

import pathlib
import subprocess
import sys

from benchmarks.reliability import harness, meshes

ROOT = pathlib.Path(__file__).parents[2]


def test_a_checkpoint_goes_on_on_another_mesh():
    # In a process of its own, which has two devices.
    words = ["--program=toy", "--most=2", "--axes=fsdp"]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.reliability.meshes", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.startswith("meshes: 4 changes, 44 arrays")


def test_losses_that_differ_miss_the_figures():
    tally = meshes.Tally(changes=48, largest_difference=1e-6)
    assert harness.missed(meshes.held(tally)) == []
    tally.largest_difference = 2e-6
    tally.wrong_arrays = 1
    assert len(harness.missed(meshes.held(tally))) == 2
