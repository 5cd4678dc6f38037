import json
import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import types

import jax
import jax.numpy as jnp
import pytest

from codefusion.training import goodput
from codefusion.training.goodput import NAMES, Goodput

ROOT = pathlib.Path(__file__).parent.parent.parent


class Time:
    """A clock that only the test moves; also the time of day."""

    def __init__(self):
        self.now = 1e6

    def monotonic(self):
        return self.now

    def time(self):
        return self.now + 1e9

    def pass_by(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    """The clock of every Goodput of a test."""
    found = Time()
    fake = types.SimpleNamespace(monotonic=found.monotonic, time=found.time)
    monkeypatch.setattr(goodput, "time", fake)
    return found


def start(workdir, **options):
    """Returns a Goodput whose thread writes nothing by itself within a test."""
    return Goodput(workdir, **{"every_seconds": 1e3, **options})


def die(account, workdir):
    """Ends a process as SIGKILL would: what its thread wrote last is what stays."""
    account.beat()
    left = (workdir / "goodput.json").read_text()
    account.__exit__()
    (workdir / "goodput.json").write_text(left)


def spent(account):
    """Returns the seconds of each name that has any."""
    return {name: value for name, value in account.seconds().items() if value}


def programs(account):
    """Returns how many programs were compiled and read, in words."""
    return account.summary().split(";")[-1]


def total(workdir):
    """Returns the seconds that the file tells of."""
    left = json.loads((workdir / "goodput.json").read_text())
    return sum(left["seconds"].values())


def wait_for(condition):
    """Waits until a condition holds; at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing came within a minute"
        time.sleep(0.02)


def test_every_second_is_charged_to_the_innermost_name_alone(tmp_path, clock):
    with start(tmp_path) as account:
        clock.pass_by(3)
        with account.spend("steps"):
            clock.pass_by(10)
            with account.spend("data_wait"):
                clock.pass_by(2)
            with account.spend("evaluation"):
                clock.pass_by(5)
            clock.pass_by(20)
            with account.spend("checkpointing"):
                clock.pass_by(4)
        clock.pass_by(1)
        assert spent(account) == {
            "startup": 4,
            "steps": 30,
            "data_wait": 2,
            "evaluation": 5,
            "checkpointing": 4,
        }
        assert account.values()["goodput"] == 30 / 45


def test_time_is_charged_rightly_after_an_error(tmp_path, clock):
    with start(tmp_path) as account, account.spend("steps"):
        with pytest.raises(KeyError), account.spend("evaluation"):
            clock.pass_by(1)
            raise KeyError
        clock.pass_by(2)
        assert spent(account) == {"evaluation": 1, "steps": 2}


def test_an_unknown_name_is_an_error(tmp_path):
    with start(tmp_path) as account, pytest.raises(ValueError, match="'lunch'.*steps"):
        account.spend("lunch")


def test_a_run_stopped_with_a_checkpoint_loses_nothing(tmp_path, clock):
    with start(tmp_path) as account, account.spend("steps"):
        clock.pass_by(10)
        saved = account.to_json()
    clock.pass_by(500)
    with start(tmp_path) as account:
        account.resume(json.loads(json.dumps(saved)))
        clock.pass_by(3)
        with account.spend("steps"):
            clock.pass_by(20)
        assert spent(account) == {"steps": 30, "restarts": 3}
        values = account.values()
    assert values["seconds_down"] == 500 and values["starts"] == 2
    assert values["goodput"] == 30 / 33


def test_what_no_checkpoint_kept_is_lost_over_many_deaths(tmp_path, clock):
    account = start(tmp_path).__enter__()
    with account.spend("steps"):
        clock.pass_by(10)
        saved = account.to_json()
        clock.pass_by(7)
    die(account, tmp_path)
    clock.pass_by(100)
    for _ in range(2):  # neither lives to the next checkpoint
        account = start(tmp_path).__enter__()
        account.resume(saved)
        clock.pass_by(2)
        with account.spend("steps"):
            clock.pass_by(5)
        die(account, tmp_path)
        clock.pass_by(100)
    with start(tmp_path) as account:
        account.resume(saved)
        assert spent(account) == {"steps": 10, "lost": 7 + 2 * (2 + 5)}
        assert account.values()["seconds_down"] == 300
        assert account.values()["starts"] == 4


def test_a_run_that_died_before_its_first_checkpoint_lost_all(tmp_path, clock):
    account = start(tmp_path).__enter__()
    with account.spend("steps"):
        clock.pass_by(10)
    die(account, tmp_path)
    with start(tmp_path) as account:
        account.resume(None)
        assert spent(account) == {"lost": 10}


def test_an_older_checkpoint_gives_up_what_came_after_it(tmp_path, clock):
    with start(tmp_path) as account, account.spend("steps"):
        clock.pass_by(10)
        older = account.to_json()
        clock.pass_by(10)
    with start(tmp_path) as account:  # the newer one was damaged
        account.resume(older)
        assert spent(account) == {"steps": 10, "lost": 10}


def test_random_lives_add_up(tmp_path, clock):
    rng = random.Random(0)
    for trial in range(20):
        workdir = tmp_path / str(trial)
        workdir.mkdir()
        alive, kept, saved = 0, 0, None
        for _ in range(rng.randrange(1, 8)):
            account = start(workdir).__enter__()
            account.resume(saved)
            steps = kept
            for _ in range(rng.randrange(6)):
                name = rng.choice([name for name in NAMES if name != "lost"])
                seconds = rng.randrange(1, 10)
                with account.spend(name):
                    clock.pass_by(seconds)
                alive += seconds
                steps += seconds if name == "steps" else 0
                if rng.random() < 0.3:
                    saved, kept = account.to_json(), steps
            assert sum(account.seconds().values()) == alive
            assert account.seconds()["steps"] == steps
            die(account, workdir)
            clock.pass_by(rng.randrange(100))


def test_a_copied_work_directory_goes_on_without_its_file(tmp_path, clock):
    with start(tmp_path) as account, account.spend("steps"):
        clock.pass_by(10)
        saved = account.to_json()
    (tmp_path / "goodput.json").unlink()
    clock.pass_by(50)
    with start(tmp_path) as account:
        account.resume(saved)
        assert spent(account) == {"steps": 10}
        assert account.values()["starts"] == 2


@pytest.mark.parametrize(
    "left",
    ["", "{", "[]", "null", '{"time": 1}', '{"time": "x", "down": 0, "starts": 1}'],
)
def test_a_file_that_is_no_account_counts_as_none(tmp_path, left):
    (tmp_path / "goodput.json").write_text(left)
    with start(tmp_path) as account:
        assert account.values()["starts"] == 1
    assert json.loads((tmp_path / "goodput.json").read_text())["starts"] == 1


def test_a_folder_that_cannot_be_written_to_fails_no_run(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with start(tmp_path / "file" / "run") as account:
        account.beat()
    assert caplog.text.count("cannot be written") == 1


def test_compilation_is_charged_once_however_deep_it_nests(tmp_path):
    @jax.jit
    def inner(x):
        time.sleep(0.2)  # of tracing
        return jnp.sin(x) * 2

    @jax.jit
    def outer(x):
        return inner(x).sum()

    with start(tmp_path) as account:
        x = jnp.ones(31).block_until_ready()
        before, started = account.seconds(), time.monotonic()
        with account.spend("steps"):
            outer(x).block_until_ready()
            elapsed = time.monotonic() - started
            outer(x).block_until_ready()
        after = account.seconds()
    compiling = after["compilation"] - before["compilation"]
    assert 0.2 < compiling <= elapsed
    assert after["steps"] + compiling - before["steps"] < elapsed + 0.2


def test_an_error_while_tracing_leaves_the_account_right(tmp_path, clock):
    @jax.jit
    def broken(x):
        raise KeyError

    with start(tmp_path) as account, account.spend("steps"):
        with pytest.raises(KeyError):
            broken(1.0)
        clock.pass_by(5)
        assert spent(account) == {"steps": 5}


def test_compilation_in_another_thread_takes_none_of_the_runs_time(tmp_path):
    with start(tmp_path) as account:
        thread = threading.Thread(
            target=lambda: jax.jit(lambda x: jnp.cos(x) + 3)(jnp.ones(33))
        )
        before = programs(account)
        thread.start()
        thread.join()
        assert account.seconds()["compilation"] == 0.0
        assert programs(account) != before


def test_nothing_listens_after_the_end(tmp_path):
    with start(tmp_path) as account:
        pass
    before = programs(account)
    jax.jit(lambda x: x - 1)(jnp.ones(34))
    assert programs(account) == before
    assert "goodput" not in {thread.name for thread in threading.enumerate()}


def test_the_file_is_written_while_the_run_is_busy(tmp_path):
    with start(tmp_path, every_seconds=0.02) as account, account.spend("steps"):
        wait_for(lambda: total(tmp_path) > 0.2)


def test_a_compile_budget_is_told_of_once_and_while_compiling(tmp_path, caplog):
    seen = []

    @jax.jit
    def slow(x):
        wait_for(lambda: "compile_budget" in caplog.text)
        seen.append(caplog.text)
        return x

    with start(tmp_path, compile_budget=0.05, every_seconds=0.02):
        slow(jnp.ones(35))
        time.sleep(0.1)
    assert "training.compile_budget, 0.05 s" in seen[0]
    assert caplog.text.count("training.compile_budget") == 1


@pytest.mark.parametrize(("budget", "host"), [(0.0, 0), (600.0, 0), (1e-6, 1)])
def test_within_the_budget_and_by_later_hosts_nothing_is_told(
    tmp_path, caplog, monkeypatch, budget, host
):
    monkeypatch.setattr(jax, "process_index", lambda: host)
    with (
        caplog.at_level(logging.WARNING),
        start(tmp_path, compile_budget=budget, every_seconds=0.02),
    ):
        jax.jit(lambda x: x + 5)(jnp.ones(36))
    assert "compile_budget" not in caplog.text


def test_the_metrics_are_numbers_that_add_up(tmp_path, clock):
    with start(tmp_path) as account, account.spend("steps"):
        clock.pass_by(6)
        values = account.values()
    assert set(values) == {
        "goodput",
        "starts",
        "seconds_down",
        *(f"seconds_{name}" for name in NAMES),
    }
    assert all(isinstance(value, float) for value in values.values())
    assert values["goodput"] == 1.0


def test_the_closing_line(tmp_path, clock):
    with start(tmp_path) as account:
        clock.pass_by(2)
        with account.spend("steps"):
            clock.pass_by(8)
        assert account.summary() == (
            "Goodput 80.0% of 10.0 s: steps 8.0 s, start-up 2.0 s; 0 programs "
            "compiled, 0 read from the cache."
        )
        saved = account.to_json()
    clock.pass_by(30)
    with start(tmp_path) as account:
        account.resume(saved)
        clock.pass_by(2)
        with account.spend("steps"):
            clock.pass_by(3592)
        assert account.summary() == (
            "Goodput 99.9% of 1:00:04 in 2 starts, 30.0 s apart: steps 1:00:00, "
            "start-up 2.0 s, restarts 2.0 s; 0 programs compiled, 0 read from the "
            "cache."
        )


KILLED = """
import sys, time
from codefusion.training.goodput import Goodput

with Goodput(sys.argv[1], every_seconds=0.05) as account, account.spend("steps"):
    print("started", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_how_long_it_lived(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    wait_for(lambda: total(tmp_path) > 0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    time.sleep(0.3)
    with start(tmp_path) as account:
        assert 0.3 < account.seconds()["lost"] < 30
        assert 0.3 <= account.values()["seconds_down"] < 30
    assert [path.name for path in tmp_path.iterdir()] == ["goodput.json"]
