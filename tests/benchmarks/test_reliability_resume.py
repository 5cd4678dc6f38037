"""Four cuts of the toy; the full set is `make test-reliability`."""

import json
import shutil

import numpy as np
import pytest

from benchmarks.reliability import harness, resume
from benchmarks.reliability.runs import Settings
from benchmarks.reliability.toy import Toy


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    with harness.compiled_once(root):
        settings = Settings(steps=24, every=4)
        yield harness.reference(Toy(pause=0.0), settings, root / "whole", every=4)


def test_cuts_change_no_byte(tmp_path, reference):
    tally = resume.resume(reference, tmp_path, cuts=4, seed=1)
    assert harness.missed(resume.held(tally, 4)) == []
    assert tally.batches >= 24 and tally.arrays > 0


def test_batches_in_another_order_and_from_another_start_are_seen(tmp_path, reference):
    expected = [(number, f"digest {number}") for number in range(24)]
    tally = resume.Tally()
    subject = resume.Subject(reference, expected, reference.workdir, tally)
    subject.compare(8, expected[8:])
    assert not any(tally.faults().values())
    subject.compare(8, [expected[8], *expected[8:]])
    assert tally.wrong_batches == 16 and tally.wrong_starts == 0
    subject.compare(8, expected[9:])
    assert tally.wrong_starts == 1


def test_a_state_of_another_step_and_a_loss_of_other_bits_are_seen(tmp_path, reference):
    workdir = tmp_path / "copy"
    shutil.copytree(reference.workdir, workdir)
    assert reference.is_whole(workdir)
    shutil.rmtree(workdir / "checkpoints" / "24")
    shutil.copytree(workdir / "checkpoints" / "20", workdir / "checkpoints" / "24")
    wrong = reference.wrong_leaves(workdir, 24)
    assert "params/kernel" in wrong and "ema_params/kernel" in wrong
    metrics = workdir / "metrics.jsonl"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    row = next(row for row in rows if row["step"] == 7)
    row["loss"] = np.nextafter(np.float32(row["loss"]), np.float32(9)).item()
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert reference.wrong_losses(workdir) == [7]
    assert not reference.is_whole(workdir)
