"""Two stops of the toy; the full set is `make test-reliability`."""

from benchmarks.reliability import harness, sigterm
from benchmarks.reliability.runs import Settings
from benchmarks.reliability.toy import Toy


def test_stops_save_the_current_step_and_change_no_bit(tmp_path):
    reference = harness.reference(Toy(), Settings(steps=90, every=7), tmp_path / "a")
    tally = sigterm.stop(reference, tmp_path, stops=2, seed=0)
    assert harness.missed(sigterm.held(tally, 2)) == []


def test_a_stop_that_is_not_at_the_current_step_misses_the_figures():
    tally = sigterm.Tally(stops=3, not_at_the_current_step=1)
    assert harness.missed(sigterm.held(tally, 3)) == ["0 not_at_the_current_step"]
