"""What hosts tell each other about the folder they share, most of it the first."""

import json

import jax
import numpy as np

from codefusion.checkpoints.errors import CheckpointError, reason


def call(function):
    """Returns on every host what `function` returned on the first; raises likewise.

    All hosts must come here in the same order. With one host it is a plain call.

    Args:
      function: takes nothing and returns what JSON can hold.

    Raises:
      CheckpointError: on the other hosts, what the first raised.
    """
    if jax.process_count() == 1:
        return function()
    if jax.process_index() != 0:
        told = json.loads(_broadcast(""))
        if "error" in told:
            raise CheckpointError(told["error"])
        return told["value"]
    try:
        value = function()
    except Exception as error:
        known = isinstance(error, CheckpointError)
        _broadcast(json.dumps({"error": str(error) if known else reason(error)}))
        raise
    _broadcast(json.dumps({"value": value}))
    return value


def without(flag: bool) -> list[int]:
    """Returns the numbers of the hosts that came here with False, on every host."""
    if jax.process_count() == 1:
        return [] if flag else [0]
    from jax.experimental import multihost_utils

    flags = multihost_utils.process_allgather(np.int32(flag))
    return np.flatnonzero(np.ravel(flags) == 0).tolist()


def _broadcast(text: str) -> str:
    """Returns the text of the first host on all hosts."""
    from jax.experimental import multihost_utils

    content = np.frombuffer(text.encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(content.size)))
    padded = np.zeros(size, np.uint8)
    padded[: content.size] = content
    return multihost_utils.broadcast_one_to_all(padded).tobytes().decode()
