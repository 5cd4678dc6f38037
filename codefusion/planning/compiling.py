"""A compilation in a process of its own: a compiler that crashes ends that one alone.

libtpu ends the process on some faults of its own, and LLVM on others. What the
compilers write on stderr goes with the process, except for the last line of a crash.
"""

import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading

from codefusion import config as configs
from codefusion import files
from codefusion.planning import programs

_CHILD = "from codefusion.planning import compiling; compiling.main()"
_MINUTES = 120
_CRASH = re.compile(
    r"(?:Check failed|LLVM ERROR|\*\*\* SIG|RAW: F|^F\d{4})[^\n]*", re.M
)


def compile_apart(setting, program, rows, *, minutes=_MINUTES):
    """Returns the `programs.Compiled` of a program, compiled in another process.

    Args:
      setting: a `programs.Setting`.
      program: "training_step" or "sampler".
      rows: of its batch.
      minutes: after which it is given up.

    Raises:
      CompilationError: it does not fit, the compiler ended itself, or took too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        request, answer = (
            pathlib.Path(folder, "request"),
            pathlib.Path(folder, "answer"),
        )
        config = configs.to_json(setting.config)
        asked = (config, setting.stage, setting.topology, program, rows)
        request.write_bytes(pickle.dumps(asked))
        run = _run([str(request), str(answer)], minutes)
        if not answer.is_file():
            raise programs.CompilationError(_reason(run))
        found = pickle.loads(answer.read_bytes())
    if isinstance(found, Exception):
        raise found
    return found


def main():
    """Answers the request in the file of the first argument in that of the second."""
    end_with_parent(sys.stdin.fileno())
    request, answer = map(pathlib.Path, sys.argv[1:])
    config, stage, topology, program, rows = pickle.loads(request.read_bytes())
    setting = programs.Setting(configs.from_json(config), stage, topology)
    try:
        found = getattr(programs, program)(setting, rows)
    except programs.CompilationError as error:
        found = error
    files.write_whole(answer, pickle.dumps(found))
    # The result stands; a compiler's threads must not delay or spoil the end.
    os._exit(0)


def end_with_parent(pipe, end=os._exit):
    """Calls `end(1)` when nobody holds the other end of a pipe any more.

    Args:
      pipe: file descriptor to which nothing is written.
      end: called in a thread, as a compiler does not look up for an hour.
    """

    def wait():
        os.read(pipe, 1)
        end(1)

    threading.Thread(target=wait, daemon=True).start()


def _run(arguments, minutes):
    """Returns the finished process."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    command = [sys.executable, "-c", _CHILD, *arguments]
    # Its other end closes with this process, however that ends.
    pipe, held = os.pipe()
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=pipe,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=60 * minutes,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise programs.CompilationError(
            f"it took more than {minutes} minutes to compile"
        ) from None
    finally:
        os.close(pipe)
        os.close(held)


def _reason(run):
    """Returns why a process left no answer."""
    crash = _CRASH.search(run.stderr)
    lines = [line for line in run.stderr.splitlines() if line.strip()] or ["no message"]
    said = (crash.group() if crash else lines[-1]).strip()[:300]
    if run.returncode >= 0:
        return said
    name = signal.Signals(-run.returncode).name
    return f"the compiler ended itself with {name} ({said})"
