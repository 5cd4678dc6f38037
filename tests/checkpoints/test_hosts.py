"""Two hosts save, find and restore as one, and fail alike."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from codefusion.hosts import wire

SCRIPT = pathlib.Path(__file__).with_name("host_run.py")
EXPECTED = """\
apart fails: Host 1 of 2 does not see what host 0 writes to {0}
prepare None
wait None
steps [2, 3]
latest 3
extra {{'step': 3}}
restored True
full disk fails: Checkpoint 4 could not be saved to
damaged fails: Checkpoint 3 in {1} is not intact: file extra.json is missing.
latest 2
"""


@pytest.mark.slow
def test_two_hosts_agree_on_everything(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    words = [sys.executable, SCRIPT, tmp_path, str(wire.free_port("127.0.0.1", 0)), "2"]
    hosts = [
        subprocess.Popen(
            [*words, str(host)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for host in range(2)
    ]
    try:
        outputs = [host.communicate(timeout=120) for host in hosts]
    finally:
        for host in hosts:
            host.kill()
    for number, (output, errors) in enumerate(outputs):
        apart = tmp_path / f"apart{number}" / "checkpoints"
        expected = EXPECTED.format(apart, tmp_path / "checkpoints")
        gloo = re.compile(r"\[Gloo\]|.*peer ranks")  # whose threads mix their lines
        lines = [line for line in output.splitlines() if not gloo.match(line)]
        assert len(lines) == len(expected.splitlines()), errors[-2000:]
        for line, beginning in zip(lines, expected.splitlines(), strict=True):
            assert line.startswith(beginning), f"host {number}"
