"""Heartbeats are whole, and a run that hangs leaves its stacks."""

import io
import json
import os
import subprocess
import sys
import textwrap
import time

from codefusion import hosts
from codefusion.hosts import cluster, watchdog


def member(index, run="r"):
    """Returns a roster as far as watchdog and folder look at it."""
    given = cluster.Cluster("a test", "a:1", 2, index, ("a", "b"))
    return hosts.Roster(given, run, 1, print)


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_heartbeat_has_the_last_step_and_its_time(tmp_path):
    started = time.time()
    with hosts.Watchdog(tmp_path, roster=member(1), seconds=0.02) as dog:
        (beat,) = watchdog.read(tmp_path)
        assert (beat.index, beat.state, beat.step) == (1, "running", None)
        dog.beat(7)
        until(lambda: watchdog.read(tmp_path)[0].step == 7)
    (beat,) = watchdog.read(tmp_path)
    assert (beat.state, beat.step, beat.process) == ("ended", 7, os.getpid())
    assert started <= beat.time <= time.time()
    assert json.loads((tmp_path / "hosts" / "1.json").read_text())["run"] == "r"


def test_a_run_that_steps_leaves_no_stacks(tmp_path):
    stream = io.StringIO()
    with hosts.Watchdog(tmp_path, minutes=0.4 / 60, stream=stream) as dog:
        for step in range(40):
            dog.beat(step)
            time.sleep(0.02)
    assert stream.getvalue() == ""
    assert sorted(os.listdir(tmp_path / "hosts")) == ["0.json"]


def test_a_run_that_hangs_leaves_its_stacks_and_names_who_is_behind(tmp_path):
    stream = io.StringIO()

    def a_collective_that_never_ends():
        until(lambda: stream.getvalue())

    with hosts.Watchdog(tmp_path, roster=member(1), seconds=0.05) as ahead:
        ahead.beat(4)
        first = hosts.Watchdog(
            tmp_path, roster=member(0), minutes=0.3 / 60, stream=stream
        )
        with first as dog:
            dog.beat(3)
            a_collective_that_never_ends()
    stacks = tmp_path / "hosts" / "0.stacks.txt"
    assert "a_collective_that_never_ends" in stacks.read_text()
    told = stream.getvalue()
    assert f"after step 3; the stacks of all threads are in {stacks}." in told
    assert "Host 0" in told and "is behind: it is at step 3, others at 4." in told


def test_stacks_come_even_where_the_interpreter_is_locked(tmp_path):
    # A regular expression that backtracks for ever holds the lock of the interpreter.
    program = """
        import re, sys
        from codefusion.hosts import watchdog
        with watchdog.Watchdog(sys.argv[1], minutes=0.5 / 60) as dog:
            dog.beat(1)
            re.match("(a+)+$", "a" * 60 + "b")
    """
    words = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    process = subprocess.Popen(words)
    stacks = tmp_path / "hosts" / "0.stacks.txt"
    try:
        until(lambda: stacks.exists() and "re" in stacks.read_text(), seconds=30)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_the_stacks_of_an_earlier_hang_are_kept(tmp_path):
    stacks = tmp_path / "hosts" / "0.stacks.txt"
    stacks.parent.mkdir()
    stacks.write_text("earlier\n")
    with hosts.Watchdog(tmp_path, minutes=1.0):
        pass
    assert stacks.read_text() == "earlier\n"


def test_only_who_is_behind_is_named():
    beats = [watchdog.Heartbeat(i, "n", 1, "r", "running", i, 0.0) for i in (5, 6)]
    start = watchdog.Heartbeat(7, "n", 1, "r", "running", None, 0.0)
    assert [line[:6] for line in watchdog.behind([*beats, start])] == [
        "Host 5",
        "Host 7",
    ]
    assert watchdog.behind(beats[:1]) == watchdog.behind([]) == []


def test_a_heartbeat_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    (tmp_path / "hosts").write_text("in the way")
    with hosts.Watchdog(tmp_path, minutes=1.0, seconds=0.02) as dog:
        dog.beat(1)
    assert "heartbeat is not written" in caplog.text


def test_half_a_heartbeat_is_none(tmp_path):
    assert watchdog.read(tmp_path) == []
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "0.json").write_text('{"index": 0,')
    (tmp_path / "hosts" / "1.json").write_text("[]")
    assert watchdog.read(tmp_path) == []
