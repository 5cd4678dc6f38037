"""Metrics read a few steps late, so that the device never waits for the host."""

import collections
import math
from collections.abc import Callable

import jax

# How far the host may run ahead. One step would do to keep the device busy; two
# leave room for a slow batch. A signal waits for this many steps before it saves.
LAG = 2


class NonFiniteError(ValueError):
    """A loss, gradient or update that is not finite; nothing of it was saved."""


class Watch:
    """Hands on each step's metrics once the device is `LAG` steps further.

    Args:
      on_step: called with (step, {name: float}) for each finite step, in order.
      on_fault: called with (step, {name: float}, norms) for a step that is not finite,
        norms being those of the gradient by each parameter, a list of float; raises,
        or leaves the step out.
    """

    def __init__(self, on_step: Callable, on_fault: Callable):
        self._on_step = on_step
        self._on_fault = on_fault
        self._pending = collections.deque()

    def push(self, step: int, metrics: dict[str, jax.Array]):
        """Takes in the metrics of a step that may still be running."""
        for value in metrics.values():
            value.copy_to_host_async()
        self._pending.append((step, metrics))
        while len(self._pending) > LAG:
            self._retire()

    def flush(self):
        """Waits for every step so far; after it the state is known to be finite."""
        while self._pending:
            self._retire()

    def _retire(self):
        step, metrics = self._pending.popleft()
        values = {name: value.tolist() for name, value in metrics.items()}
        is_finite, leaf_norms = values.pop("finite"), values.pop("leaf_norms")
        if is_finite:
            del values["kept"]
            self._on_step(step, values)
        else:
            self._on_fault(step, values, leaf_norms)


class Averages:
    """Mean of each metric since the last report; the learning rate as it is.

    Args:
      saved: what `to_json` gave, to go on inside an interval after a resumption.
    """

    def __init__(self, saved: dict | None = None):
        self._sums = dict(saved["sums"]) if saved else {}
        self._count = saved["count"] if saved else 0

    def add(self, values: dict[str, float]):
        """Takes in the metrics of one step."""
        self._count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if "learning_rate" in values:
            self._sums["learning_rate"] = values["learning_rate"] * self._count

    def take(self) -> tuple[int, dict[str, float]]:
        """Returns (number of steps, means) and starts a new interval."""
        count = self._count
        means = {name: total / count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return count, means

    def to_json(self) -> dict:
        """Returns the interval so far, exactly."""
        return {"sums": dict(self._sums), "count": self._count}


def not_finite(values: dict[str, float]) -> list[str]:
    """Returns `name = value` of the metrics that are not finite."""
    return [f"{k} = {v}" for k, v in values.items() if not math.isfinite(v)]
