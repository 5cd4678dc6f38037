"""Compiled programs kept in the work directory, so that a resumed run starts fast."""

import contextlib
import logging
import os
import pathlib

import jax
from jax.experimental.compilation_cache import compilation_cache

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def compile_cache(workdir: str | os.PathLike):
    """Keeps what is compiled within in `workdir`/compile_cache.

    A cache that the user has set (JAX_COMPILATION_CACHE_DIR) is left alone, and where
    the folder cannot be written to there is none: a cache is no reason to fail.

    Args:
      workdir: the work directory.
    """
    folder = pathlib.Path(workdir).absolute() / "compile_cache"
    if jax.config.jax_compilation_cache_dir or not _is_writable(folder):
        yield
        return
    _set_folder(str(folder))
    try:
        yield
    finally:
        _set_folder(None)


def _set_folder(folder):
    jax.config.update("jax_compilation_cache_dir", folder)
    compilation_cache.reset_cache()  # jax looks at the setting once, until told


def _is_writable(folder) -> bool:
    probe = folder / f"probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        _log.warning("Compiled programs are not kept: %s: %s", folder, error.strerror)
        return False
    return True
