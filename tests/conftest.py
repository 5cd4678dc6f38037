"""What all tests share: a CPU, strict ranks, data, quick programs."""

import os
import pathlib
import zlib
from importlib import metadata

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs run for seconds here, and compiling them well takes five times as long. A
# version of XLA that does not know the flag would end the process.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if metadata.version("jaxlib").startswith("0.10."):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = flags.strip()

import jax
import jax.numpy as jnp
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

_BESIDE = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir():
    """The folder with the source files; skips the test where there is none."""
    folder = pathlib.Path(os.environ.get("CODEFUSION_DATA") or _BESIDE)
    if not (folder / "codefusion-prose").is_dir():
        pytest.skip(f"no source data: CODEFUSION_DATA is unset and {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def drawn():
    """The function `(module, *args, **kwargs) -> variables`, the same at every call.

    It compiles no `init`. Matrices keep the size of what they multiply; scales and
    biases lie around 1 and 0.
    """
    return _draw


def _draw(module, *args, **kwargs):
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
