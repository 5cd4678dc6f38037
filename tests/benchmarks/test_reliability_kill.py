"""Ten kills of the toy; the full set is `make test-reliability`."""

import os

import pytest

from benchmarks.reliability import harness, kill, trials
from benchmarks.reliability.runs import Settings
from benchmarks.reliability.toy import Toy


def test_ten_kills_lose_no_saved_step_and_change_no_bit(tmp_path):
    reference = harness.reference(Toy(), Settings(steps=24, every=1), tmp_path / "a")
    tally = kill.kill(reference, tmp_path, kills=10, seed=0)
    assert harness.missed(kill.held(tally, 10)) == []
    assert tally.losses > 24 and tally.finished_runs


def test_what_a_save_left_is_told_from_what_an_earlier_one_left(tmp_path):
    trials.save(tmp_path, 1)
    folder = tmp_path / "checkpoints"
    (folder / "probe.1234").touch()
    assert harness.unfinished(tmp_path) == set()
    mark = folder / "unfinished.2"
    mark.touch()
    earlier = harness.unfinished(tmp_path)
    assert [name for name, _ in earlier] == ["unfinished.2"]
    assert harness.unfinished(tmp_path) == earlier
    os.utime(mark, ns=(0, 0))
    assert harness.unfinished(tmp_path) - earlier


@pytest.mark.parametrize("fault", ["lost_steps", "wrong_losses", "failed_restarts"])
def test_one_fault_misses_the_figures(fault):
    tally = kill.Tally(kills=10, inside_a_save=5)
    assert harness.missed(kill.held(tally, 10)) == []
    setattr(tally, fault, 1)
    assert harness.missed(kill.held(tally, 10)) == [f"0 {fault}"]
