"""Takes the disk away in twenty ways: the last good step stays, the error says why.

    python -m benchmarks.reliability.disk --cases=20 --seed=0

The disk is full before a save or fills up in the middle of it, has no room for another
file, turns read-only before or amid a save, or refuses files beyond a size. Each time
the save must fail with one line that has the bytes needed and free and the last good
step, nothing of it may be left, that step must be restored to the bit, and the same
object must save once the disk is well again.

Full and read-only disks are small file systems in memory, which `unshare` lets even an
ordinary user mount, gone with the process. Without it only the limit on a file's size
is tried, and the last line says so.
"""

import argparse
import concurrent.futures as workers
import contextlib
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from unittest import mock

from benchmarks.reliability import trials
from codefusion.checkpoints import CheckpointError, Checkpoints, arrays

OLD, NEW = 10, 20
ROWS = 4096  # a state of 1 MiB
DISK_BYTES = 8 << 20
ERROR = re.compile(
    r"^Checkpoint \d+ could not be saved to \S+: .+ "
    r"\(\d+\.\d MiB needed, \d+\.\d MiB free\); the last good one is step \d+\. "
)


@contextlib.contextmanager
def amid_a_save(action):
    """Does something once a save has begun, before its arrays are written."""
    real = arrays.begin_write

    def begin_write(*args):
        action()
        return real(*args)

    with mock.patch.object(arrays, "begin_write", begin_write):
        yield


def fill(folder, free):
    """Writes a file that leaves about so many bytes free on its disk."""
    size = shutil.disk_usage(folder).free - free
    with open(folder / "filler", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def remount(folder, mode):
    """Makes a mounted file system "ro" or "rw"."""
    subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True)


@contextlib.contextmanager
def full_before(folder, rng):
    """The disk has less room than the arrays need."""
    fill(folder, rng.randrange(1 << 20))
    yield
    (folder / "filler").unlink()


@contextlib.contextmanager
def full_amid(folder, rng):
    """There was room at first, and somebody else takes it."""
    with amid_a_save(lambda: fill(folder, rng.randrange(1 << 19))):
        yield
    (folder / "filler").unlink()


@contextlib.contextmanager
def no_more_files(folder, rng):
    """The disk has room, but its table of files is full."""
    statistics = os.statvfs(folder)
    spare = rng.randrange(8)
    fillers = [folder / f"filler{k}" for k in range(statistics.f_ffree - spare)]
    for filler in fillers:
        filler.touch()
    yield
    for filler in fillers:
        filler.unlink()


@contextlib.contextmanager
def read_only_before(folder, rng):
    """The disk is read-only when the save begins."""
    remount(folder, "ro")
    yield
    remount(folder, "rw")


@contextlib.contextmanager
def read_only_amid(folder, rng):
    """The disk turns read-only once the save has begun."""
    with amid_a_save(lambda: remount(folder, "ro")):
        yield
    remount(folder, "rw")


@contextlib.contextmanager
def quota(folder, rng):
    """No file may grow beyond a size, smaller than that of the arrays."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (rng.randrange(1, 1 << 19), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


MOUNTED = (full_before, full_amid, no_more_files, read_only_before, read_only_amid)


def trial(folder, fault, rng):
    """Returns what went wrong with one case, or None.

    Args:
      folder: an empty work directory.
      fault: a context manager of `(folder, rng)` under which the disk is ill.
      rng: a random.Random.
    """
    checkpoints = Checkpoints(folder)
    state = {step: trials.state_of(step, rows=ROWS) for step in (OLD, NEW)}
    checkpoints.save(OLD, state[OLD])
    checkpoints.wait()
    with fault(folder, rng):
        try:
            checkpoints.save(NEW, state[NEW])
            checkpoints.wait()
            return "the save did not fail"
        except CheckpointError as error:
            line = str(error)
        found = Checkpoints(folder).latest()
    if not ERROR.match(line) or f"last good one is step {OLD}" not in line:
        return f"the error says {line!r}"
    if found != OLD or not trials.is_right(checkpoints, OLD, rows=ROWS):
        return f"step {found} is the newest intact one, not {OLD} to the bit"
    checkpoints.save(NEW, state[NEW])
    checkpoints.close()
    if not trials.is_right(checkpoints, NEW, rows=ROWS):
        return "the save after it was restored with wrong numbers"
    if (left := trials.names_in(folder)) != [str(OLD), str(NEW)]:
        return f"{left} lie there in the end"
    waiting = [name for name in map(still_running, threading.enumerate()) if name]
    return f"threads {waiting} keep the process from its end" if waiting else None


def still_running(thread):
    """Returns the name of a thread that would keep the process from its end."""
    # Workers of a pool end with the process, however idle.
    if thread is threading.main_thread() or thread in workers.thread._threads_queues:
        return None
    thread.join(timeout=10)
    return thread.name if thread.is_alive() else None


def on_own_disk(fault, rng):
    """Returns what went wrong with one case on a file system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        options = f"size={DISK_BYTES},nr_inodes=128"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        subprocess.run(mount, check=True)
        try:
            return trial(pathlib.Path(folder), fault, rng)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def run(cases, *, may_mount, seed):
    """Returns (cases by fault, what went wrong)."""
    rng = random.Random(seed)
    faults = (quota, *MOUNTED) if may_mount else (quota,)
    wrong = []
    for case in range(cases):
        fault = faults[case % len(faults)]
        if fault in MOUNTED:
            line = on_own_disk(fault, rng)
        else:
            with tempfile.TemporaryDirectory() as folder:
                line = trial(pathlib.Path(folder), fault, rng)
        if line:
            wrong.append(f"{fault.__name__}: {line}")
    return [fault.__name__ for fault in faults], wrong


def in_own_mounts():
    """Returns whether this process may mount, and nobody else sees it.

    Starts the program again in name spaces of its own where the system lets it.
    """
    if os.environ.get("CODEFUSION_OWN_MOUNTS"):
        return True
    unshare = ["unshare", "--mount", "--map-root-user"]
    probe = [*unshare, "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
    if (
        not shutil.which("unshare")
        or subprocess.run(probe, capture_output=True).returncode
    ):
        return False
    os.environ["CODEFUSION_OWN_MOUNTS"] = "1"
    words = [sys.executable, "-m", __spec__.name, *sys.argv[1:]]
    os.execvp("unshare", [*unshare, *words])


def main():
    """Runs the cases; the exit code is 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    may_mount = in_own_mounts()
    names, wrong = run(args.cases, may_mount=may_mount, seed=args.seed)
    for line in wrong:
        print(line)
    note = "" if may_mount else "; nothing can be mounted here, so no disk was full"
    print(
        f"disk: {args.cases} cases of {', '.join(names)}: {args.cases - len(wrong)} "
        "kept the last good step, said the bytes needed and free, and saved again "
        f"afterwards{note}"
    )
    sys.exit(bool(wrong) or not args.cases)


if __name__ == "__main__":
    main()
