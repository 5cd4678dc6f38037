"""Parameters to sample with: whole on every device, where that fits.

A sampler reads all parameters at every step. Parts of them would be gathered as often.
"""

import functools
import math

import jax

from codefusion.sharding.mesh import replicated


def bytes_per_device(tree) -> int:
    """Returns what one device holds of a tree of arrays, or of placed shapes."""

    def held(x):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return 0
        return x.dtype.itemsize * math.prod(x.sharding.shard_shape(x.shape))

    return sum(map(held, jax.tree.leaves(tree)))


def fit_whole(params, free) -> bool:
    """Returns whether parameters are sampled with whole, in half of what is free.

    Args:
      params: a tree of arrays or shapes.
      free: bytes of a device; None where nobody knows.
    """
    return free is None or 2 * _num_bytes(params) <= free


def to_sample(params, state):
    """Returns parameters to sample with amid training, whole if they fit.

    Args:
      params: a tree of arrays, on the mesh that they are trained on.
      state: all that stays on the devices meanwhile, a tree of arrays.
    """
    # Alike on all hosts, as the bytes in use need not be.
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    free = None if limit is None else limit - bytes_per_device(state)
    is_whole = bytes_per_device(params) == _num_bytes(params)
    if is_whole or not fit_whole(params, free):
        return params
    return _gather(jax.tree.leaves(params)[0].sharding.mesh)(params)


def _num_bytes(params):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(params))


@functools.cache
def _gather(mesh):
    return jax.jit(lambda params: params, out_shardings=replicated(mesh))
