"""Progress of a long loop: a bar on a terminal, a line now and then elsewhere."""

import sys
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 15.0


class Waiting:
    """A context manager whose `update(done)` shows how far a loop is, on stderr.

    `begun` of the `total` were done before.
    """

    def __init__(self, what, *, total, begun=0, stream=None, clock=time.monotonic):
        self._what, self._total, self._begun = what, total, begun
        self._stream = stream or sys.stderr
        self._clock, self._start = clock, clock()
        self._shown = self._start
        self._bar = None

    def __enter__(self):
        if self._stream.isatty():
            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress("{task.description}", *columns, transient=True)
            self._task = self._bar.add_task(
                self._what, total=self._total, completed=self._begun
            )
            self._bar.start()
        return self

    def update(self, done):
        """Shows that `done` of the total are done."""
        if self._bar:
            self._bar.update(self._task, completed=done)
        elif self._clock() - self._shown >= _SECONDS_BETWEEN_LINES:
            self._shown = self._clock()
            self._line(done)

    def __exit__(self, *error):
        if self._bar:
            self._bar.stop()

    def _line(self, done):
        spent = self._clock() - self._start
        left = spent / max(done - self._begun, 1) * (self._total - done)
        text = f"{self._what}: {done} of {self._total}, {left:.0f} s left"
        print(text, file=self._stream, flush=True)
