import json

import numpy as np
import pytest

from codefusion.training import watch
from codefusion.training.watch import NonFiniteError


class Unread:
    """Stands for a metric on the device; notes when the host waits for it."""

    def __init__(self, step, waits, value):
        self.step, self.waits, self.value = step, waits, value

    def copy_to_host_async(self):
        pass

    def tolist(self):
        self.waits.append(self.step)
        return self.value


def metrics(step, waits, is_finite):
    values = {"finite": is_finite, "kept": is_finite, "leaf_norms": [1.0]}
    return {name: Unread(step, waits, value) for name, value in values.items()}


def test_the_host_waits_only_for_steps_that_are_behind():
    waits, seen = [], []
    watcher = watch.Watch(lambda step, values: seen.append(step), None)
    for step in range(1, 11):
        watcher.push(step, metrics(step, waits, True))
        assert all(waited <= step - watch.LAG for waited in waits)
    watcher.flush()
    assert seen == list(range(1, 11))


def test_only_the_first_bad_step_is_reported():
    waits = []

    def refuse(step, values, leaf_norms):
        raise NonFiniteError(step)

    watcher = watch.Watch(lambda *_: None, refuse)
    for step in range(1, 3):
        watcher.push(step, metrics(step, waits, False))
    with pytest.raises(NonFiniteError, match="1"):
        watcher.flush()


def test_averages_go_on_exactly_where_they_were_saved():
    whole, first = watch.Averages(), watch.Averages()
    values = np.random.default_rng(0).normal(size=10).tolist()
    for n, value in enumerate(values):
        whole.add({"loss": value, "learning_rate": value})
        if n < 6:
            first.add({"loss": value, "learning_rate": value})
    second = watch.Averages(json.loads(json.dumps(first.to_json())))
    for value in values[6:]:
        second.add({"loss": value, "learning_rate": value})
    assert second.take() == whole.take()
