"""What all tests share: a CPU, strict ranks, and the folder of real data."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
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
