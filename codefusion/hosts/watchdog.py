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
import socket
import sys
import tempfile
import threading
import time
from typing import Any

from etils import epath

from codefusion import files
from codefusion.hosts.roster import Roster

_log = logging.getLogger(__name__)

_DISK_SECONDS, _BUCKET_SECONDS = 10.0, 60.0  # a bucket bills every write


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
      workdir: the work directory.
      minutes: without a step after which the stacks are written; 0 for never. Compiling
        the first step counts, and so do saves and evaluations.
      roster: the hosts of the run; None for a single process.
      seconds: at most, between two writings of the heartbeat; None for 10, or 60 in a
        bucket.
      stream: where a hang is told; standard error if None.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        *,
        minutes: float = 0.0,
        roster: Roster | None = None,
        seconds: float | None = None,
        stream=None,
    ):
        default = _BUCKET_SECONDS if _is_bucket(workdir) else _DISK_SECONDS
        self._workdir = workdir
        self._index = roster.cluster.index if roster else 0
        self._run = roster.run if roster else ""
        self._limit = 60.0 * minutes
        self._seconds = default if seconds is None else seconds
        if self._limit:  # steps must be seen well before it
            self._seconds = min(self._seconds, self._limit / 4)
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
            _write(_path(self._workdir, f"{self._index}.json"), text)
        except Exception as error:  # a heartbeat is no reason to fail, nor a bucket's
            _log.warning("The heartbeat is not written: %s", error)

    def _tell(self):
        """Says that no step came, where the stacks are, and which hosts are behind."""
        step = self._last[0]
        after = "since the start" if step is None else f"after step {step}"
        lines = [
            f"No step for {self._limit / 60:g} minutes {after}; the stacks of all "
            f"threads are in {self._keep_stacks()}.",
            *behind([b for b in read(self._workdir) if b.run == self._run]),
        ]
        print("\n" + "\n".join(lines), file=self._stream, flush=True)

    def _keep_stacks(self):
        """Returns where the stacks are, in the bucket if the work directory is."""
        if not _is_bucket(self._workdir):
            return self._stacks.name
        try:
            place = _path(self._workdir, f"{self._index}.stacks.txt")
            _write(place, epath.Path(self._stacks.name).read_text())
        except Exception as error:
            _log.warning("The stacks are not in the bucket: %s", error)
            return self._stacks.name
        return place


def _open_stacks(workdir, index):
    """Returns the file for the stacks; faulthandler needs one on a disk."""
    name = f"{index}.stacks.txt"
    if not _is_bucket(workdir):
        with contextlib.suppress(OSError):
            return open(_path(workdir, name), "a", encoding="utf-8")
    return tempfile.NamedTemporaryFile("a", suffix=f".{name}", delete=False)


def _is_bucket(workdir):
    return "://" in os.fspath(workdir)


def _path(workdir, name):
    return epath.Path(workdir) / "hosts" / name


def _write(path, text):
    """Writes a file of which no reader sees a part, as objects of a bucket are."""
    if _is_bucket(path):
        path.write_text(text)
    else:
        files.write_whole(path, text)


def read(workdir: str | os.PathLike) -> list[Heartbeat]:
    """Returns the heartbeats in a work directory by index, the readable ones.

    Args:
      workdir: the work directory.
    """
    found = []
    place = _path(workdir, "")
    for file in place.glob("*.json") if place.exists() else ():
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
