"""Progress of a training run: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable

import rich.console
import rich.progress

# In metrics.jsonl, but no news to who watches.
_HIDDEN = ("grad_norm", "update_norm", "learning_rate", "train_seconds")


class Progress:
    """Shows step, loss and its parts, examples a second and the time left.

    Args:
      num_steps: steps of the whole run.
      step: steps already made.
      stream: where to write; standard error if None.
      every_seconds: shortest time between two lines where there is no terminal.
      compiling: () -> the seconds spent on compilation so far, which tell nothing of
        the steps to come and are left out of their pace.
    """

    def __init__(
        self,
        *,
        num_steps,
        step=0,
        stream=None,
        every_seconds=10.0,
        compiling: Callable[[], float] = lambda: 0.0,
    ):
        self._num_steps = num_steps
        self._first = self._step = step
        self._stream = stream or sys.stderr
        self._every_seconds = every_seconds
        self._compiling = compiling
        self._started = self._clock()
        self._shown = -float("inf")
        self._bar = _bar(self._stream) if self._stream.isatty() else None

    def __enter__(self):
        if self._bar:
            self._task = self._bar.add_task(
                "training",
                total=self._num_steps,
                completed=self._first,
                text="",
                left="",
            )
            self._bar.start()
        return self

    def __exit__(self, *exception):
        if self._bar:
            self._bar.stop()

    def advance(self, step: int):
        """Shows that a step is done."""
        self._step = step
        if self._bar:
            self._bar.update(self._task, completed=step, left=self._left())

    def report(self, stage: str, values: dict[str, float]):
        """Shows the metrics of the latest steps.

        Args:
          stage: name of the stage.
          values: {name: float}, `examples_per_second` among them.
        """
        text = _text(values)
        if self._bar:
            self._bar.update(self._task, description=stage, text=text)
            return
        now = time.monotonic()
        is_last = self._step >= self._num_steps
        if is_last or now - self._shown >= self._every_seconds:
            self._shown = now
            steps = f"{self._step}/{self._num_steps}"
            self.note(f"{stage} {steps}  {text}  {self._left()}")

    def note(self, text: str):
        """Writes a line beside the progress."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._stream, flush=True)

    def _clock(self):
        return time.monotonic() - self._compiling()

    def _left(self):
        """Returns the time left at the pace of the steps so far, as text."""
        done = max(self._step - self._first, 1)
        pace = (self._clock() - self._started) / done
        minutes, seconds = divmod(int(pace * (self._num_steps - self._step)), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d} left"


def _bar(stream):
    return rich.progress.Progress(
        "{task.description}",
        rich.progress.BarColumn(bar_width=20),
        rich.progress.MofNCompleteColumn(),
        "{task.fields[text]}",
        "{task.fields[left]}",
        console=rich.console.Console(file=stream),
        refresh_per_second=2,
    )


def _text(values):
    first = {"loss": values["loss"]} if "loss" in values else {}
    values = first | values
    rate = values.pop("examples_per_second", None)
    shown = [f"{k} {v:.4g}" for k, v in values.items() if k not in _HIDDEN]
    return "  ".join([*shown, f"{rate:.0f} examples/s"] if rate else shown)
