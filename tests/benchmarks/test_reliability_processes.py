"""How the script judges; tests/hosts has two processes of which one is killed."""

import pytest

from benchmarks.reliability import harness, processes

GOOD = dict(kills=2, stops=1, most_seconds_to_end=0.5, largest_difference=1e-7)


def test_losses_are_compared_step_by_step():
    one = {1: (2.0).hex(), 2: (1.0).hex()}
    near = {1: (2.0).hex(), 2: (1.0 + 1e-5).hex()}
    assert processes.difference(one, one) == 0.0
    assert processes.difference(one, near) == pytest.approx(1e-5)
    assert processes.difference(one, {1: one[1]}) == float("inf")
    assert processes.difference({}, {}) == float("inf")


@pytest.mark.parametrize(
    ("line", "gone", "named"),
    [
        ("host 1 (a) is gone: its connection closed.", 1, True),
        ("host 1 (a) is gone: its connection closed. Host 0 (b) ends.", 0, False),
        ("After 20 s 1 of 2 hosts are missing: host 1. Is the same", 1, True),
        ("Host 1 of 2 cannot reach host 0 at 127.0.0.1:99 after 20 s", 0, True),
        ("ValueError: Gloo all-reduce failed: Connection reset by peer", 1, False),
    ],
)
def test_the_last_complaint_has_to_name_the_host(line, gone, named):
    assert processes.names(f"loss 1\ncodefusion: {line}\n", gone) is named
    assert not processes.names(line, gone)


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        (dict(largest_difference=1e-5), ["losses to 1e-06"]),
        (dict(most_seconds_to_end=31.0), ["ends within 30 s"]),
        (dict(kills=1), ["2 kills"]),
        (dict(unnamed_deaths=1), ["0 unnamed_deaths"]),
        (dict(stops_at_different_steps=1), ["0 stops_at_different_steps"]),
        (dict(wrong_losses=1), ["0 wrong_losses"]),
        (dict(wrong_exit_codes=1), ["0 wrong_exit_codes"]),
    ],
)
def test_a_missed_figure_is_told(change, missed):
    tally = processes.Tally(**(GOOD | change))
    assert harness.missed(processes.held(tally, kills=2, stops=1)) == missed


@pytest.mark.slow
def test_two_processes_survive_kills_and_stops(tmp_path):
    options = dict(program="toy", devices=1, seed=0, every=5)
    tally = processes.measure(tmp_path, kills=2, stops=1, **options)
    assert harness.missed(processes.held(tally, kills=2, stops=1)) == []
