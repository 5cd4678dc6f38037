"""Distances by step: what is read at each step, against the reference and the last."""

import types

import numpy as np
import pytest

from codefusion import drawing
from experiments import refinement


class Model:
    """A Generator whose estimates are given: a text for each step."""

    def __init__(self, texts):
        self.tokenizer = types.SimpleNamespace(decode=lambda row: texts[int(row[0])])
        self.steps = len(texts)

    def trajectory(self, utterance, *, number, steps, truncate, language):
        assert truncate and steps == self.steps and (number, language) == (7, "bash")
        tokens = np.arange(steps)[:, None, None]
        return np.linspace(1, 0, steps), drawing.Trajectory(tokens, *[None] * 4)


def test_a_program_is_read_at_every_step():
    model = Model(["x", "ls", "ls -a"])
    choices = dict(number=7, steps=3, language="bash")
    times, texts = refinement.written(model, "list", **choices)
    assert times == [1.0, 0.5, 0.0] and texts == ["x", "ls", "ls -a"]


def test_distances_are_means_over_rows_by_step():
    found = refinement.by_step([[1.0, 0.5], [0.5, 0.0]])
    assert [point["mean"] for point in found] == [0.75, 0.25]
    assert all(point["low"] <= point["mean"] <= point["high"] for point in found)
    with pytest.raises(ValueError):
        refinement.by_step([[1.0, 0.5], [0.5]])
