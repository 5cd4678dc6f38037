"""The small cuts of the benchmarks of checkpoints; each fails if one case does."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def last_line(name, *flags):
    """Returns the last line of a benchmark that held its figures."""
    words = [sys.executable, "-m", f"benchmarks.reliability.{name}", *flags]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_damage_is_never_restored():
    line = last_line("corrupt", "--cases=20")
    assert "20 restored the newest intact step to the bit" in line


def test_a_disk_that_fails_costs_no_good_step():
    assert "disk: 6 cases" in last_line("disk", "--cases=6")


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"),
    reason="counting the calls of a save needs Linux and a C compiler",
)
@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_a_call_of_a_save_costs_no_good_step(every):
    line = last_line("faults", f"--every={every}")
    assert "times the newest intact step" in line
