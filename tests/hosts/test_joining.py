"""Processes that join are one run of JAX, and none outlives another's death."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from codefusion.hosts import cluster, joining, roster, wire

PROGRAM = pathlib.Path(__file__).with_name("program.py")
NAME = socket.gethostname()
ROOT = PROGRAM.parents[2]


def start(index, num_hosts, port, *settings, environ):
    """Returns the started process of a host."""
    return subprocess.Popen(
        [sys.executable, PROGRAM, *map(str, (index, num_hosts, port)), *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        text=True,
    )


def run(*settings, devices=1, seconds=90):
    """Returns (exit code, standard output, standard error) of a host per settings."""
    port = wire.free_port("127.0.0.1", 0)
    flags = f"--xla_force_host_platform_device_count={devices}"
    environ = dict(os.environ, PYTHONPATH=str(ROOT), XLA_FLAGS=flags)
    num_hosts = len(settings)
    hosts = [
        start(index, num_hosts, port, *given.split(), environ=environ)
        for index, given in enumerate(settings)
    ]
    try:
        deadline = time.monotonic() + seconds
        found = [h.communicate(timeout=deadline - time.monotonic()) for h in hosts]
    finally:
        for host in hosts:
            host.kill()
    return [(host.returncode, *text) for host, text in zip(hosts, found, strict=True)]


def test_a_changed_added_or_renamed_module_changes_the_hash_of_the_code(tmp_path):
    def written(**modules):
        package = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in modules.items():
            (package / name).mkdir(parents=True)
            (package / name / "module.py").write_text(text)
        return joining.code_hash(package)

    first = written(a="x = 1", b="")
    assert written(b="", a="x = 1") == first
    others = [written(a="x = 2", b=""), written(a="x = 1"), written(a="x = 1", c="")]
    assert len({first, *others}) == 4


def losses(text):
    return [float.fromhex(loss) for loss in re.findall(r"^loss \d+ (\S+)$", text, re.M)]


def test_two_processes_have_the_losses_of_one_with_their_devices():
    first, second = run("steps=4", "steps=4")
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    ((code, alone, error),) = run("steps=4", devices=2)
    assert code == 0, error
    assert losses(first[1]) == losses(second[1])
    assert losses(alone) == pytest.approx(losses(first[1]), rel=1e-6)
    assert len(losses(alone)) == 4 and first[1].endswith("ended\n")


@pytest.mark.parametrize("gone", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_process_is_named_by_the_other_which_ends_too(gone):
    settings = ["steps=2000 pause=0.01"] * 2
    settings[gone] += " die_at=5"
    found = run(*settings)
    assert found[gone][0] == -signal.SIGKILL
    code, _, error = found[1 - gone]
    assert code == 1, error
    assert f"codefusion: host {gone} ({NAME}) is gone: its connection closed" in error


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_the_reason_of_a_process_that_fails_is_told_by_the_other(failing):
    settings = ["steps=2000 pause=0.01"] * 2
    settings[failing] += " fail_at=5"
    found = run(*settings)
    code, _, error = found[failing]
    assert code == 1 and "codefusion: the disk is full" in error
    code, _, error = found[1 - failing]
    assert code == 1, error
    reason = f"host {failing} ({NAME}) is gone: it failed, ValueError: the disk is full"
    assert reason in error and "Traceback" not in error


@pytest.mark.slow
def test_processes_that_stop_together_exit_with_0():
    for code, text, error in run("stop_at=2", "stop_at=2"):
        assert code == 0, error
        assert len(losses(text)) == 2


def test_a_missing_process_is_one_readable_line_which_it_is_told_too():
    port = wire.free_port("127.0.0.1", 0)
    environ = dict(os.environ, PYTHONPATH=str(ROOT))
    first = start(0, 2, port, "timeout=1", environ=environ)
    try:
        line = first.stderr.readline().removeprefix("codefusion: ").strip()
        late = cluster.Cluster("a test", f"127.0.0.1:{port}", 2, 1)
        with pytest.raises(roster.RosterError) as told:
            roster.gather(late, timeout=10.0)
        _, rest = first.communicate(timeout=30)
    finally:
        first.kill()
    assert (first.returncode, rest, str(told.value)) == (1, "", line)
    assert line.startswith("After 1 s 1 of 2 hosts are missing: host 1.")
