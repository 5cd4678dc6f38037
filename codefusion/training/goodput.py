"""Goodput: the share of its time that a run spent in steps it kept, over all starts.

Every second of a process is charged to one name: `compilation` while jax traces, lowers
or compiles in the run's thread, else the innermost that `Goodput.spend` has entered,
else the start-up. The sums go into each checkpoint. A thread writes them to
`goodput.json` every few seconds as well, so that the next start knows how long the one
before it lived; what of that its checkpoint does not account for was lost. The clock
says when, not the steps, because a process may die while it compiles, waits or hangs.

    goodput = seconds in steps that a checkpoint kept, or that may yet be
              / seconds that the processes ran

The time between a death and the next start is `down`, and no part of either.
"""

import contextlib
import json
import logging
import os
import threading
import time
from typing import Any

import jax
from etils import epath

from codefusion import files
from codefusion.training import compile_events

_log = logging.getLogger(__name__)

# What time is spent on, and how the closing line calls it.
NAMES = {
    "steps": "steps",  # and waiting for their results
    "compilation": "compilation",  # and reading what was compiled before
    "data_wait": "waiting for data",
    "checkpointing": "checkpointing",  # as far as the run waits for it
    "evaluation": "evaluation",
    "startup": "start-up",  # of the first process, and its end
    "restarts": "restarts",  # the start-up and the end of later ones
    "lost": "lost work",  # of processes that died, beyond the checkpoint gone on from
}
_FILE = "goodput.json"


class Goodput:
    """The account of a run's time, open from the start of a process to its end.

    Of several processes the first alone keeps `goodput.json` and warns, so it is
    entered after `jax.distributed.initialize`. It never fails a run: where the file
    cannot be written there is a warning, and time lost to a death stays unknown.

    Args:
      workdir: the work directory, on a disk or in a bucket.
      compile_budget: seconds of compilation in one start beyond which there is a
        warning, even while still compiling; 0 for none.
      every_seconds: time between two writes of the file, by which the time of a death
        may be wrong.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        compile_budget: float = 0.0,
        every_seconds: float = 5.0,
    ):
        self._file = epath.Path(workdir) / _FILE
        self._compile_budget = compile_budget
        self._every_seconds = every_seconds
        self._told = set()  # warnings given, each of them once

    def __enter__(self):
        since, now = time.monotonic(), time.time()
        keeps_file = jax.process_index() == 0  # may start the devices, for seconds
        self._previous = _read(self._file) if keeps_file else {}
        self._earlier = {"lost": _total(self._previous)}  # until `resume` knows better
        self._down, self._starts = 0.0, 1
        self._follow(self._previous)
        if self._previous:
            self._down += max(0.0, now - self._previous["time"])
        self._clock = _Clock("restarts" if self._previous else "startup", since)
        self._compiled = _Compiled(self._clock)
        self._ended = threading.Event()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(self._compiled.listening())
        if keeps_file:
            self._tell()
            self._stack.callback(self._tell)
            self._stack.enter_context(self._beating())
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def resume(self, saved: dict[str, Any] | None):
        """Takes over the account in the checkpoint that the run goes on from.

        Args:
          saved: what `to_json` returned when it was saved, or None.
        """
        if not saved:
            return
        kept = saved["seconds"]
        lost = max(0.0, _total(self._previous) - _total(saved))
        self._earlier = kept | {"lost": kept.get("lost", 0.0) + lost}
        if not self._previous:  # the work directory was copied without it
            self._follow(saved)

    def spend(self, name: str):
        """Returns a context that charges its time to a name, less what is within.

        For the run's thread alone.

        Args:
          name: one of `NAMES`.
        """
        if name not in NAMES:
            raise ValueError(f"time is spent on {name!r}; expected one of {[*NAMES]}.")
        return self._clock.spend(name)

    def seconds(self) -> dict[str, float]:
        """Returns the seconds charged to each name so far, over all starts."""
        now = self._clock.seconds()
        return {name: self._earlier.get(name, 0.0) + now[name] for name in NAMES}

    def to_json(self) -> dict[str, Any]:
        """Returns the account as JSON, to be saved in a checkpoint."""
        return dict(seconds=self.seconds(), down=self._down, starts=self._starts)

    def values(self) -> dict[str, float]:
        """Returns the metrics: `goodput` in [0, 1], seconds by name, down, starts."""
        seconds = self.seconds()
        values = {f"seconds_{name}": value for name, value in seconds.items()}
        values |= {"seconds_down": self._down, "starts": float(self._starts)}
        return {"goodput": _share(seconds), **values}

    def summary(self) -> str:
        """Returns the account in one line."""
        seconds = self.seconds()
        parts = [f"{label} {_duration(seconds[name])}" for name, label in NAMES.items()]
        shown = ", ".join(part for part in parts if not part.endswith(" 0.0 s"))
        total, starts = _duration(sum(seconds.values())), ""
        if self._starts > 1:
            starts = f" in {self._starts} starts, {_duration(self._down)} apart"
        programs, cached = self._compiled.num_programs, self._compiled.num_cached
        return (
            f"Goodput {_share(seconds):.1%} of {total}{starts}: {shown}; "
            f"{programs - cached} programs compiled, {cached} read from the cache."
        )

    def beat(self):
        """Writes the account to the work directory, with the time of day."""
        try:
            account = self.to_json() | {"time": time.time()}
            files.write_whole(self._file, json.dumps(account))
        except Exception as error:  # a bucket has errors of many kinds
            self._warn_once(
                f"Time lost to a death of this process will not be known: {self._file} "
                f"cannot be written: {error}"
            )

    def _follow(self, before):
        self._down += before.get("down", 0.0)
        self._starts += before.get("starts", 0)

    @contextlib.contextmanager
    def _beating(self):
        thread = threading.Thread(target=self._watch, name="goodput", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(timeout=self._every_seconds + 10.0)

    def _watch(self):
        while not self._ended.wait(self._every_seconds):
            self._tell()

    def _tell(self):
        self.beat()
        self._check_budget()

    def _check_budget(self):
        seconds = self._clock.seconds()["compilation"]
        if 0.0 < self._compile_budget < seconds:
            self._warn_once(
                "Compiling takes longer in this start than training.compile_budget, "
                f"{self._compile_budget:g} s. model.scan_layers = True compiles one "
                "layer for all; a start with the same programs reads them from the "
                "cache."
            )

    def _warn_once(self, message):
        if message not in self._told:
            self._told.add(message)
            _log.warning(message)


class _Clock:
    """Seconds by name since it was made, each charged to the innermost name.

    Args:
      name: what is charged where nothing has been entered.
      since: the monotonic time that it starts at.
    """

    def __init__(self, name, since):
        self.thread = threading.get_ident()
        self._seconds = dict.fromkeys(NAMES, 0.0)
        self._entered = [name]
        self._since = since
        self._lock = threading.Lock()  # the file's thread reads

    def enter(self, name):
        with self._lock:
            self._charge()
            self._entered.append(name)

    def leave(self):
        with self._lock:
            self._charge()
            self._entered.pop()

    @contextlib.contextmanager
    def spend(self, name):
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def seconds(self):
        with self._lock:
            self._charge()
            return dict(self._seconds)

    def _charge(self):
        now = time.monotonic()
        self._seconds[self._entered[-1]] += now - self._since
        self._since = now


class _Compiled:
    """Charges compilation to a clock, and counts programs.

    Attributes:
      num_programs: programs that were needed, compiled or read.
      num_cached: those of them that were read from a cache.
    """

    def __init__(self, clock):
        self.num_programs = self.num_cached = 0
        self._clock = clock
        self._depth = 0

    def listening(self):
        """Returns a context within which it listens."""
        return compile_events.listening(
            begin=self._begin, end=self._end, event=self._event
        )

    def _begin(self, phase):
        # In another thread it takes none of the run's time.
        if threading.get_ident() == self._clock.thread:
            self._depth += 1
            self._clock.enter("compilation")

    def _end(self, phase):
        self.num_programs += phase == compile_events.COMPILE
        if threading.get_ident() == self._clock.thread and self._depth > 0:
            self._depth -= 1
            self._clock.leave()

    def _event(self, name):
        self.num_cached += name == compile_events.CACHE_HIT


def _read(file) -> dict[str, Any]:
    """Returns what an earlier process left, or {} if it is absent or unreadable."""
    try:
        found = json.loads(file.read_text())
        numbers = [found["time"], found["down"], found["starts"]]
        is_right = all(isinstance(n, int | float) for n in numbers)
        return found if is_right and _total(found) >= 0.0 else {}
    except Exception:  # a bucket has errors of many kinds, and so has a broken file
        return {}


def _total(account) -> float:
    return sum(account.get("seconds", {}).values())


def _share(seconds) -> float:
    total = sum(seconds.values())
    return seconds["steps"] / total if total > 0.0 else 0.0


def _duration(seconds):
    if seconds < 100.0:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
