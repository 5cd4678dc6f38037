"""Rows and predictions shared by the evaluation tests."""

import types

import pytest

from codefusion.data.rows import Example

HEADER = {
    "dataset": "toy",
    "split": "test",
    "scheme": "random",
    "data_hash": "d" * 64,
    "tokenizer_hash": "e" * 64,
    "config": {"seed": 1},
    "config_diff": "training.num_steps: 10 -> 20",
    "seed": 1,
    "sampler": "ddim",
    "num_steps": 20,
    "checkpoint_step": 500,
    "commit": "c" * 40,
    "max_rows": 0,
    "truncated_utterances": 0,
}


@pytest.fixture
def header():
    """Returns a whole header."""
    return dict(HEADER)


@pytest.fixture
def example():
    """Returns a function from code to an example."""
    return lambda code, key="1": Example(id=key, utterance="do it", code=code)


class Toy(types.SimpleNamespace):
    """Attributes of a data set, and hashable as data sets are."""

    __hash__ = object.__hash__


@pytest.fixture
def toy(example):
    """Returns a data set of three Bash rows, one of them seen in training."""
    splits = {
        "train": [example("ls -l", "t1"), example("pwd", "t2")],
        "test": [
            example("ls -l", "a"),
            example("cat x | sort", "b"),
            example("find . -name x", "c"),
        ],
    }
    return Toy(
        name="toy",
        language="bash",
        scheme="random",
        content_hash=HEADER["data_hash"],
        examples=splits.__getitem__,
        quarantined=lambda split: [],
    )


@pytest.fixture
def toy_rows():
    """Returns predictions for the toy data set, five candidates each."""
    texts = {
        "c": ["find |", "find x -name y", "find", "find . -type f", "find . -name x"],
        "a": ["ls -l", "ls", "ls -a", "ls -l", "pwd"],
        "b": ["cat", "sort", "cat x |", "ls", "cat y"],
    }
    return [
        {"id": key, "candidates": value, "log_probs": [-1.0, -2, -3, -4, -5]}
        for key, value in texts.items()
    ]
