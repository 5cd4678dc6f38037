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

    def item(self):
        self.waits.append(self.step)
        return self.value


def test_the_host_waits_only_for_steps_that_are_behind():
    waits, seen = [], []
    watcher = watch.Watch(lambda step, values: seen.append(step), None)
    for step in range(1, 11):
        watcher.push(step, {"finite": Unread(step, waits, True)})
        assert all(waited <= step - watch.LAG for waited in waits)
    watcher.flush()
    assert seen == list(range(1, 11))


def test_only_the_first_bad_step_is_reported():
    waits = []
    watcher = watch.Watch(lambda *_: None, lambda step, _: NonFiniteError(step))
    for step in range(1, 3):
        watcher.push(step, {"finite": Unread(step, waits, step < 1)})
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
