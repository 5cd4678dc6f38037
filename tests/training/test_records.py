import io
import json
import struct
import subprocess
import sys

import pytest

from codefusion.training import records
from codefusion.training.progress import Progress
from codefusion.training.records import Records, read_rows


def write(workdir, steps, **options):
    with Records(workdir, **options) as open_records:
        for step in steps:
            open_records.write(step, "training", {"loss": 1.0 / step})


def test_a_row_holds_step_stage_and_metrics(tmp_path):
    write(tmp_path / "new" / "folder", [2])
    rows = read_rows(tmp_path / "new" / "folder" / "metrics.jsonl")
    assert rows == [{"step": 2, "stage": "training", "loss": 0.5}]


def test_resuming_drops_the_rows_that_will_be_written_again(tmp_path):
    write(tmp_path, [10, 20, 30])
    write(tmp_path, [30, 40], from_step=20)
    steps = [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")]
    assert steps == [10, 20, 30, 40]


def test_a_half_written_row_is_left_out(tmp_path):
    write(tmp_path, [10, 20])
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9] + b"\xff")
    write(tmp_path, [30], from_step=20)
    assert [row["step"] for row in read_rows(path)] == [10, 30]
    for line in path.read_text().splitlines():
        json.loads(line)


def test_a_value_that_is_not_finite_is_written_as_null(tmp_path):
    with Records(tmp_path) as open_records:
        open_records.write(1, "training", {"loss": float("nan"), "size": 2.0})
    assert read_rows(tmp_path / "metrics.jsonl")[0]["loss"] is None


def event_payloads(path):
    """Returns the records of a TensorBoard file, by the framing alone."""
    data, start, found = path.read_bytes(), 0, []
    while start < len(data):
        (length,) = struct.unpack("<Q", data[start : start + 8])
        found.append(data[start + 12 : start + 12 + length])
        start += 16 + length
    return found


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.compat.proto import event_pb2

    write(tmp_path, [1, 2])
    (path,) = tmp_path.glob("events.out.tfevents.*")
    events = [event_pb2.Event.FromString(e) for e in event_payloads(path)]
    values = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    assert values == [(1, "loss", 1.0), (2, "loss", 0.5)]


def test_a_resumed_run_tells_tensorboard_what_to_forget(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.compat.proto import event_pb2

    write(tmp_path, [30], from_step=20)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    events = [event_pb2.Event.FromString(e) for e in event_payloads(path)]
    starts = [e.step for e in events if e.HasField("session_log")]
    assert starts == [21]


def test_without_tensorboard_there_is_one_line_and_the_rows(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(records.importlib.util, "find_spec", lambda name: None)
    write(tmp_path, [1, 2])
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 2
    assert list(tmp_path.glob("events*")) == []
    assert caplog.text.count("TensorBoard is not installed") == 1


def test_events_are_written_without_tensorflow(tmp_path):
    code = (
        "import sys; from codefusion.training.records import Records\n"
        "with Records(sys.argv[1]) as r: r.write(1, 'training', {'loss': 1.0})\n"
        "assert not {'tensorflow', 'torch'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)


def test_away_from_a_terminal_there_is_a_line_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    with Progress(num_steps=100, stream=stream, every_seconds=10.0) as progress:
        for step in range(1, 101):
            now[0] = float(step)
            progress.advance(step)
            values = {"grad_norm": 9.0, "loss": 0.5, "examples_per_second": 64.0}
            progress.report("training", values)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[5] == "training 51/100  loss 0.5  64 examples/s  0:00:49 left"
    assert lines[-1].startswith("training 100/100")


def test_time_spent_on_compilation_says_nothing_about_the_time_left(monkeypatch):
    now, compiled = [0.0], [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    shown = Progress(num_steps=40, stream=stream, compiling=lambda: compiled[0])
    now[0] = compiled[0] = 300.0
    for step in range(1, 5):
        now[0] += 2.0
        shown.advance(step)
    shown.report("training", {"loss": 0.5})
    assert stream.getvalue() == "training 4/40  loss 0.5  0:01:12 left\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Progress(num_steps=10, stream=stream) as progress:
        progress.advance(10)
        progress.report("fine-tuning", {"loss": 0.25, "examples_per_second": 8.0})
        progress.note("a note [with brackets]")
    shown = stream.getvalue()
    texts = ("fine-tuning", "10/10", "loss 0.25", "0:00:00 left")
    for text in (*texts, "a note [with brackets]"):
        assert text in shown
