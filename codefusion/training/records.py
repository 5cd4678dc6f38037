"""Metrics on disk: `metrics.jsonl`, and TensorBoard events without TensorFlow."""

import importlib.util
import json
import logging
import math
import os
import pathlib
import socket
import time

from codefusion import files

_log = logging.getLogger(__name__)


class Records:
    """The metrics of one work directory, a row for each report.

    Rows of steps beyond `from_step` are dropped on opening: they were written after
    the checkpoint that the run resumes from and will be written again.

    Args:
      workdir: folder of `metrics.jsonl` and of the TensorBoard event files.
      from_step: the step the run resumes from; 0 starts anew.
    """

    def __init__(self, workdir: str | os.PathLike, *, from_step: int = 0):
        self.path = pathlib.Path(workdir) / "metrics.jsonl"
        kept = [row for row in read_rows(self.path) if row["step"] <= from_step]
        lines = "".join(json.dumps(row) + "\n" for row in kept)
        files.write_whole(self.path, lines)
        self._file = open(self.path, "a", encoding="utf-8")
        self._events = _open_events(self.path.parent, from_step)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def write(self, step: int, stage: str, values: dict[str, float]):
        """Appends a row; a value that is not finite becomes null.

        Args:
          step: updates made so far.
          stage: name of the stage.
          values: the metrics.
        """
        values = {name: _json_number(value) for name, value in values.items()}
        row = {"step": step, "stage": stage, **values}
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()
        if self._events:
            self._events.write(step, values)

    def close(self):
        """Closes the files."""
        self._file.close()
        if self._events:
            self._events.close()


class NoRecords:
    """Stands for `Records` in the processes whose metrics another one writes."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def write(self, step: int, stage: str, values: dict[str, float]):
        """Writes nothing."""


def read_rows(path: str | os.PathLike) -> list[dict]:
    """Returns the whole rows of a metrics file; a half-written last line is left out.

    Args:
      path: a `metrics.jsonl`; it may be absent.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


def _json_number(value):
    value = float(value)
    return value if math.isfinite(value) else None


def _open_events(folder, from_step):
    if importlib.util.find_spec("tensorboard") is None:
        _log.warning(
            "TensorBoard is not installed: metrics go to metrics.jsonl alone "
            "(pip install tensorboard)."
        )
        return None
    return _Events(folder, from_step)


class _Events:
    """A TensorBoard event file, written by record: its own writer may load TensorFlow.

    The first event tells TensorBoard to forget what earlier files have beyond
    `from_step`.
    """

    def __init__(self, folder, from_step):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer import record_writer

        self._event, self._summary = event_pb2, summary_pb2
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._file = open(folder / name, "wb")
        self._records = record_writer.RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        if from_step:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._add(step=from_step + 1, session_log=start)

    def write(self, step, values):
        named = [(name, v) for name, v in values.items() if v is not None]
        entry = self._summary.Summary.Value
        summary = self._summary.Summary(
            value=[entry(tag=name, simple_value=v) for name, v in named]
        )
        self._add(step=step, summary=summary)

    def _add(self, **fields):
        event = self._event.Event(wall_time=time.time(), **fields)
        self._records.write(event.SerializeToString())
        self._file.flush()

    def close(self):
        self._file.close()
