"""A heartbeat file for each host, and the stacks of a run that takes no more steps.

`hosts/<index>.json` in the work directory has the last step of a host and when it was
taken. Where no step comes for long, the stacks of all threads are written beside it by
`faulthandler`, from a thread of its own that no lock of the interpreter holds up.
"""

import contextlib
import dataclasses
import faulthandler
import json
import logging
import os
import pathlib
import socket
import sys
import tempfile
import threading
import time
from typing import Any

from codefusion import files
from codefusion.hosts.roster import Roster

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Heartbeat:
    """What a host says of itself.

    Attributes:
      index: of the host.
      name: of its machine.
      process: its process id there.
      run: the roster's id of the run; "" for a single process.
      state: "running", "hanging" or "ended".
      step: the last one it took; None before the first.
      time: when that was or, before the first, when it started; seconds since 1970.
    """

    index: int
    name: str
    process: int
    run: str
    state: str
    step: int | None
    time: float


class Watchdog:
    """Writes the heartbeat of a host while it is entered, and stacks when it hangs.

    Args:
      workdir: the work directory, a folder.
      minutes: without a step after which the stacks are written; 0 for never. Compiling
        the first step counts, and so do saves and evaluations.
      roster: the hosts of the run; None for a single process.
      seconds: at most, between two writings of the heartbeat.
      stream: where a hang is told; standard error if None.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        minutes: float = 0.0,
        roster: Roster | None = None,
        seconds: float = 10.0,
        stream=None,
    ):
        self._workdir = workdir
        self._index = roster.cluster.index if roster else 0
        self._run = roster.run if roster else ""
        self._limit = 60.0 * minutes
        # Steps must be seen well before the limit.
        self._seconds = min(seconds, self._limit / 4) if self._limit else seconds
        self._stream = stream or sys.stderr
        self._last = (None, time.time())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._write("running")
        if self._limit:
            self._stacks = _open_stacks(self._workdir, self._index)
            self._arm()
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join(timeout=self._seconds + 5.0)
        if self._limit:
            faulthandler.cancel_dump_traceback_later()
            self._stacks.close()
            with contextlib.suppress(FileNotFoundError):  # the folder may be gone
                if not os.path.getsize(self._stacks.name):
                    os.remove(self._stacks.name)
        self._write("ended")

    def beat(self, step: int):
        """Notes that a step was taken; costs nothing worth counting."""
        self._last = (step, time.time())

    def _arm(self):
        faulthandler.dump_traceback_later(self._limit, file=self._stacks)

    def _watch(self):
        """Writes the heartbeat, and puts off the stacks as long as steps come."""
        seen, since, told = self._last, time.monotonic(), False
        while not self._over.wait(self._seconds):
            if self._last != seen:
                seen, since, told = self._last, time.monotonic(), False
                if self._limit:
                    self._arm()
            elif self._limit and not told:
                told = time.monotonic() - since >= self._limit + self._seconds / 2
                if told:
                    self._tell()
            self._write("hanging" if told else "running")

    def _write(self, state):
        machine = socket.gethostname(), os.getpid()
        beat = Heartbeat(self._index, *machine, self._run, state, *self._last)
        text = json.dumps(dataclasses.asdict(beat))
        try:
            files.write_whole(_path(self._workdir, f"{self._index}.json"), text)
        except OSError as error:  # a heartbeat is no reason to fail
            _log.warning("The heartbeat is not written: %s", error)

    def _tell(self):
        """Says that no step came, where the stacks are, and which hosts are behind."""
        step = self._last[0]
        after = "since the start" if step is None else f"after step {step}"
        lines = [
            f"No step for {self._limit / 60:g} minutes {after}; the stacks of all "
            f"threads are in {self._stacks.name}.",
            *behind([b for b in read(self._workdir) if b.run == self._run]),
        ]
        print("\n" + "\n".join(lines), file=self._stream, flush=True)


def _open_stacks(workdir, index):
    """Returns the file for the stacks: elsewhere, if the folder takes none."""
    name = f"{index}.stacks.txt"
    with contextlib.suppress(OSError):
        return open(_path(workdir, name), "a", encoding="utf-8")
    return tempfile.NamedTemporaryFile("a", suffix=f".{name}", delete=False)


def _path(workdir, name):
    return pathlib.Path(workdir) / "hosts" / name


def read(workdir: str | os.PathLike) -> list[Heartbeat]:
    """Returns the heartbeats in a work directory by index, the readable ones.

    Args:
      workdir: the work directory.
    """
    found = []
    for file in _path(workdir, "").glob("*.json"):
        try:
            fields: dict[str, Any] = json.loads(file.read_text())
            found.append(Heartbeat(**fields))
        except (OSError, ValueError, TypeError):
            continue
    return sorted(found, key=lambda beat: beat.index)


def behind(beats: list[Heartbeat]) -> list[str]:
    """Returns a line for each host that is at an earlier step than the furthest.

    Args:
      beats: the heartbeats of the hosts.
    """
    steps = [-1 if beat.step is None else beat.step for beat in beats]
    return [
        f"Host {beat.index} ({beat.name}) is behind: it is at step {beat.step}, others "
        f"at {max(steps)}."
        for beat, step in zip(beats, steps, strict=True)
        if step < max(steps)
    ]
