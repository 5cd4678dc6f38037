"""Compiled programs kept in the work directory, so that a resumed run starts fast.

jax writes an entry in place and never replaces one. A process killed while it writes
leaves a torn entry, at which every later start fails and compiles again; and a bit that
flips on the disk may be run as it is. So an entry that is whole gets a seal, a file
with its SHA-256, and one that does not match it is removed when the cache is opened.
"""

import contextlib
import hashlib
import logging
import os
import pathlib
import threading
import uuid

import jax
from etils import epath
from jax.experimental.compilation_cache import compilation_cache

from codefusion import files
from codefusion.training import compile_events

_log = logging.getLogger(__name__)

_SETTINGS = {
    # All programs: a start has a hundred small ones, which take seconds together.
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    # XLA's own caches put the folder's path into the key of every entry, so that a
    # work directory that is moved or mounted elsewhere would compile everything again.
    "jax_persistent_cache_enable_xla_caches": "none",
}


@contextlib.contextmanager
def compile_cache(workdir: str | os.PathLike):
    """Keeps what is compiled within in `workdir`/compile_cache.

    A cache that the user has set (JAX_COMPILATION_CACHE_DIR) is left alone, and where
    the folder cannot be written to there is none: a cache is no reason to fail. Of
    several processes, which share the folder, jax lets the first alone write. Enter it
    after `jax.distributed.initialize`, if that is called at all.

    Args:
      workdir: the work directory, on a disk or in a bucket.
    """
    folder = _folder(workdir)
    sealing = None if jax.config.jax_compilation_cache_dir else _open(folder)
    if sealing is None:
        yield
        return
    with sealing, _settings(_SETTINGS | {"jax_compilation_cache_dir": str(folder)}):
        yield


def _folder(workdir):
    workdir = pathlib.Path(workdir).absolute() if files.is_local(workdir) else workdir
    return epath.Path(workdir) / "compile_cache"


def _open(folder):
    """Returns the context that seals what is added to a cache, or None if none can."""
    probe = folder / f"probe.{uuid.uuid4().hex}"  # hosts that share it have equal pids
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"1")
        probe.unlink()
        # A bucket shows whole objects alone and has check sums of its own.
        if files.is_local(folder) and jax.process_index() == 0:
            return _Seals(folder).listening()
    except Exception as error:  # a bucket has errors of many kinds
        _log.warning("Compiled programs are not kept: %s: %s", folder, error)
        return None
    return contextlib.nullcontext()


@contextlib.contextmanager
def _settings(values):
    before = {name: getattr(jax.config, name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values):
    for name, value in values.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # jax looks at the settings once, until told


class _Seals:
    """The seals of a cache's entries; opening it removes the entries that fail theirs.

    Args:
      folder: of the cache, on a disk.
    """

    def __init__(self, folder):
        self._folder = folder
        self._sealed = set()
        self._compiling = 0
        self._has_new = False
        self._lock = threading.Lock()
        for entry in self._entries():
            if _is_sealed(entry):
                self._sealed.add(entry.name)
            else:
                entry.unlink(missing_ok=True)

    def listening(self):
        """Returns a context within which each entry is sealed once it is written."""
        return compile_events.listening(
            begin=self._begin, end=self._end, event=self._event
        )

    def _begin(self, phase):
        if phase == compile_events.COMPILE:
            with self._lock:
                self._compiling += 1

    def _event(self, name):
        # It comes before the entry is written, and the end of the phase after.
        self._has_new |= name == compile_events.CACHE_MISS

    def _end(self, phase):
        if phase == compile_events.COMPILE:
            with self._lock:
                self._compiling -= 1
                # Another thread may be in the middle of an entry; it seals them all.
                if self._has_new and self._compiling == 0:
                    self._has_new = False
                    self._seal()

    def _seal(self):
        for entry in self._entries():
            if entry.name not in self._sealed:
                with contextlib.suppress(OSError):  # it will be compiled once more
                    _seal_path(entry).write_text(_digest(entry))
                    self._sealed.add(entry.name)

    def _entries(self):
        return self._folder.glob("*-cache")


def _seal_path(entry):
    return entry.parent / f"{entry.name}.sha256"


def _digest(entry) -> str:
    return hashlib.sha256(entry.read_bytes()).hexdigest()


def _is_sealed(entry) -> bool:
    try:
        return _seal_path(entry).read_text() == _digest(entry)
    except (OSError, ValueError):
        return False
