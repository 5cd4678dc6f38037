"""Small checkpoints with known numbers, and what must hold after any fault."""

import contextlib
import logging
import os
import pathlib
import shutil

import numpy as np

from codefusion.checkpoints import Checkpoints

LOGGER = logging.getLogger("codefusion.checkpoints")


def state_of(step, *, rows=64):
    """Returns the arrays of a step: float32[rows, 64], float16[rows], int32[].

    Args:
      step: which decides every number.
      rows: of the larger arrays, for a size of choice.
    """
    rng = np.random.default_rng(step)
    return {
        "params": {"kernel": rng.normal(size=(rows, 64)).astype(np.float32)},
        "half": rng.normal(size=rows).astype(np.float16),
        "step": np.asarray(step, np.int32),
    }


def is_right(checkpoints, step, *, rows=64):
    """Returns whether a step is restored to the bit."""
    expected = state_of(step, rows=rows)
    found = checkpoints.restore(step, expected)
    return all(
        np.asarray(found_leaf).tobytes() == leaf.tobytes()
        for found_leaf, leaf in (
            (found["params"]["kernel"], expected["params"]["kernel"]),
            (found["half"], expected["half"]),
            (found["step"], expected["step"]),
        )
    )


def save(folder, *steps, **options):
    """Saves steps, and returns when the last is committed."""
    checkpoints = Checkpoints(folder, **options)
    for step in steps:
        checkpoints.save(step, state_of(step), {"step": step})
    checkpoints.close()


def copy(folder, to):
    """Replaces a folder by a copy of another."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)


def names_in(folder):
    """Returns what lies among the checkpoints of a work directory, sorted."""
    return sorted(os.listdir(pathlib.Path(folder, "checkpoints")))


@contextlib.contextmanager
def warnings():
    """Gives a list that gets the warnings of the checkpoints, which are not shown."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    try:
        yield lines
    finally:
        LOGGER.propagate = True
        LOGGER.removeHandler(handler)
