"""Kills a save at each of its writes, renames, flushes and removals in turn.

    python -m benchmarks.reliability.faults --seed=0

`crash_at.c` counts the calls of Python and of the C++ libraries alike and sends SIGKILL
before the chosen one, or after the first half of a write. What then lies on the disk is
looked at twice: as it is, and without all that had not been flushed, as after a power
failure. One checkpoint is kept, so a save that takes the old one away too early would
lose everything. Each time the newest intact step must be found and restored to the
bit, and the save must then succeed and leave nothing behind.
"""

import argparse
import ctypes
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from benchmarks.reliability import trials
from codefusion.checkpoints import CheckpointError, Checkpoints

OLD, NEW = 10, 20
SOURCE = pathlib.Path(__file__).with_name("crash_at.c")
TIMEOUT_SECONDS = 60


def compiler():
    """Returns the C compiler, or None where the kills cannot be counted."""
    if sys.platform != "linux":
        return None
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class Saver:
    """A process that saves in children of its own, so that imports cost once.

    Args:
      folder: gets the compiled library and the log of calls.
    """

    def __init__(self, folder):
        self.library = pathlib.Path(folder, "crash_at.so")
        self.log = pathlib.Path(folder, "calls.txt")
        subprocess.run(
            [compiler(), "-shared", "-fPIC", "-o", self.library, SOURCE, "-ldl"],
            check=True,
        )
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", __spec__.name, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "LD_PRELOAD": str(self.library)},
        )

    def save(self, workdir, at, *, half):
        """Returns (whether it was killed, the calls that it made) of one save.

        Args:
          workdir: the work directory.
          at: number of the call that it does not survive; 0 for none.
          half: if that is a write, whether half of it is done.
        """
        self.log.unlink(missing_ok=True)
        words = [str(self.library), str(self.log), str(workdir), at, int(half)]
        print(json.dumps(words), file=self.process.stdin, flush=True)
        status = int(self.process.stdout.readline())
        if status not in (0, signal.SIGKILL):
            raise RuntimeError(f"a save ended with status {status}")
        calls = self.log.read_text().splitlines() if self.log.exists() else []
        return bool(status), [tuple(line.split("\t")) for line in calls]

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait(timeout=TIMEOUT_SECONDS)


def serve():
    """Saves in a new child for each line of standard input; tells how it ended."""
    import orbax.checkpoint  # noqa: F401  once, before the children

    for line in sys.stdin:
        library, log, workdir, at, half = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(TIMEOUT_SECONDS)
                arm(library, log, workdir, at, half)
                trials.save(workdir, NEW, max_to_keep=1)
                os._exit(0)
            finally:
                os._exit(1)
        print(os.waitpid(child, 0)[1], flush=True)


def arm(library, log, workdir, at, half):
    """Makes the calls of this process count from now on."""
    log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    folder = os.fsencode(pathlib.Path(workdir, "checkpoints"))
    ctypes.CDLL(library).crash_arm(folder, ctypes.c_long(at), half, log_file)


def lose_power(calls):
    """Takes away what the calls had not flushed: contents of files, and names.

    Args:
      calls: (call, path, second path) in order.
    """
    contents, names = set(), set()
    for call, path, to in calls:
        if call == "write":
            contents.add(path)
        elif call == "create":
            names.add(path)
        elif call == "flush":
            contents.discard(path)
            names -= {name for name in names if os.path.dirname(name) == path}
        elif call == "rename":
            contents, names = _moved(contents, path, to), _moved(names, path, to)
            names.add(to)
    for path in map(pathlib.Path, contents):
        if path.is_file():
            path.write_bytes(b"")
    for path in map(pathlib.Path, names):
        shutil.rmtree(path, ignore_errors=True)
        if path.is_file():
            path.unlink()


def _moved(paths, old, new):
    """Returns paths with those in a renamed folder, or itself, under the new name."""
    return {
        new + path[len(old) :] if f"{path}/".startswith(f"{old}/") else path
        for path in paths
    }


def allowed_steps(calls, *, power_lost):
    """Returns the steps that may be the newest intact one after the calls."""
    ends = [f"/{NEW}/manifest.json", f"/{NEW}"]
    renamed = [i for i, (_, _, to) in enumerate(calls) if to.endswith(ends[0])]
    if not renamed:
        return {OLD}
    flushed = any(
        call == "flush" and path.endswith(ends[1])
        for call, path, _ in calls[renamed[0] :]
    )
    return {NEW} if flushed or not power_lost else {OLD, NEW}


def fault(workdir, allowed):
    """Returns what is wrong with a folder in which a save was killed, or None."""
    checkpoints = Checkpoints(workdir, max_to_keep=1)
    try:
        with trials.warnings() as lines:
            found = checkpoints.latest()
    except CheckpointError as error:
        return str(error)
    if found not in allowed:
        return f"step {found} is the newest intact one, not {allowed} {lines}"
    if lines:
        return f"a save that was cut off is taken for damage: {lines}"
    if not trials.is_right(checkpoints, found):
        return f"step {found} was restored with wrong numbers"
    trials.save(workdir, NEW, NEW + 1, max_to_keep=1)
    if not trials.is_right(Checkpoints(workdir), NEW + 1):
        return "the save after it was restored with wrong numbers"
    left = trials.names_in(workdir)
    return None if left == [str(NEW + 1)] else f"{left} lie there after the next save"


def trial(saver, good, workdir, at, *, half):
    """Returns (the call it was killed at, faults) of one kill; None if none came."""
    trials.copy(good, workdir)
    killed, calls = saver.save(workdir, at, half=half)
    if not killed:
        return None
    lost = workdir.with_name("lost")
    trials.copy(workdir, lost)
    lose_power([tuple(p.replace(str(workdir), str(lost)) for p in c) for c in calls])
    found = [
        fault(workdir, allowed_steps(calls, power_lost=False)),
        fault(lost, allowed_steps(calls, power_lost=True)),
    ]
    return [line for line in found if line]


def kill_all(saver, folder, *, every, first):
    """Returns (kills, kills amid a write, faults) over the calls of a save."""
    good, workdir = folder / "good", folder / "run"
    trials.save(good, OLD)
    trials.copy(good, workdir)
    _, calls = saver.save(workdir, 0, half=False)
    kills, halves, faults = 0, 0, []
    for at in itertools.count(first, every):
        # The calls of several threads come in no fixed order, so it is about a write.
        is_write = at <= len(calls) and calls[at - 1][0] == "write"
        for half in (False, True)[: 1 + is_write]:
            found = trial(saver, good, workdir, at, half=half)
            if found is None:
                return kills, halves, faults
            kills, halves = kills + 1, halves + half
            faults += [f"call {at}: {line}" for line in found]


def main():
    """Kills a save at each of its calls; the exit code is 1 if a kill did harm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="kill at each n-th call")
    parser.add_argument("--seed", type=int, default=0, help="which of the n is first")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve()
    if not compiler():
        sys.exit("faults needs Linux and a C compiler (cc) to count a save's calls.")
    # In memory, where a flush is counted all the same and takes no time.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        folder = pathlib.Path(folder).resolve()
        saver = Saver(folder)
        first = 1 + args.seed % args.every
        kills, halves, faults = kill_all(saver, folder, every=args.every, first=first)
        saver.close()
    for line in faults:
        print(line)
    print(
        f"faults: {kills} kills at a call of a save, {halves} of them amid a write, "
        f"each also with what was not flushed lost: {2 * kills - len(faults)} of "
        f"{2 * kills} times the newest intact step and a clean next save"
    )
    sys.exit(bool(faults) or not kills)


if __name__ == "__main__":
    main()
