"""The TPU interpreter, which stands for a TPU where there is none."""

import contextlib
import contextvars

from jax.experimental.pallas import tpu as pltpu

_PARAMETERS = contextvars.ContextVar("parameters", default=None)


@contextlib.contextmanager
def interpreted(**parameters):
    """Lets the TPU kernels run on a CPU, by interpretation: for tests, and slow.

    A function that was traced inside keeps its kernels interpreted afterwards.

    Args:
      **parameters: of `pltpu.InterpretParams`, as `detect_races` and
        `uninitialized_memory`.
    """
    token = _PARAMETERS.set(pltpu.InterpretParams(**parameters))
    try:
        yield
    finally:
        _PARAMETERS.reset(token)


def parameters():
    """Returns what to interpret with, or None outside of `interpreted`."""
    return _PARAMETERS.get()
