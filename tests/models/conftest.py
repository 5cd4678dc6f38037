"""Parameters for tests of modules, drawn without compiling an `init`."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def drawn():
    """The function `(module, *args, **kwargs) -> variables`, the same at every call.

    Matrices keep the size of what they multiply; scales and biases lie around 1 and 0.
    """
    return draw


def draw(module, *args, **kwargs):
    """Returns random variables of a module for some inputs; no scale is even."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *args, **kwargs)
    return jax.tree_util.tree_map_with_path(_leaf, shapes)


def _leaf(path, leaf):
    name = jax.tree_util.keystr(path)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    noise = rng.standard_normal(leaf.shape)
    if len(leaf.shape) == 1:
        value = 0.1 * noise + ("scale" in name)
    else:
        value = noise * leaf.shape[-2] ** -0.5
    return jnp.asarray(value, leaf.dtype)
