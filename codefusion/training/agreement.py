"""What one process wishes, every process does, and all at the same step.

A signal reaches one host, and clocks differ: were each to act on its own, some would
save while others wait in a collective. So each step carries the wishes of all through
one small collective, read as late as the metrics are, when it is long done.
"""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from codefusion import sharding
from codefusion.training.watch import LAG


class Agreement:
    """Takes this process's wishes at each step; gives those of all.

    With one process they are granted at once, and no collective runs. A wish to save is
    still made until it is granted; those on their way by then are dropped.

    Args:
      mesh: the `Mesh` of the run.

    Attributes:
      is_alone: whether there is one process.
    """

    def __init__(self, mesh):
        self.is_alone = jax.process_count() == 1
        self._place = NamedSharding(mesh, PartitionSpec(sharding.AXES))
        self._any = jax.jit(
            functools.partial(jnp.max, axis=0), out_shardings=sharding.replicated(mesh)
        )
        self._shape = (mesh.size, 2)
        self._pending = collections.deque()
        self._granted = 0  # steps whose wishes to save were on their way

    def agree(self, *, stop, save):
        """Returns (stop, save) of any process, two bools; called once a step by all."""
        if self.is_alone:
            return stop, save
        mine = np.array([[stop, save]], np.int32)  # one row for each device
        wishes = jax.make_array_from_callback(
            self._shape, self._place, lambda index: mine
        )
        self._pending.append(self._any(wishes))
        if len(self._pending) <= LAG:
            return False, False
        stop, save = (bool(x) for x in np.asarray(self._pending.popleft()))
        if self._granted:
            self._granted -= 1
            return stop, False
        self._granted = LAG if save else 0
        return stop, save
