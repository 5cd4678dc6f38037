"""Memory, open files and compiled programs while a long run trains, then samples.

    python -m benchmarks.reliability.memory --steps=5000 --samples=5000

After a warm-up of a fifth of the steps or samples, the resident memory must grow by
less than 20 MB, nothing may be compiled, and the number of open files must not change;
saves and reports go on all the while. Five minutes on two CPU cores.
"""

import dataclasses
import functools
import gc
import itertools
import math
import os
import pathlib
import statistics
import time

import jax

import codefusion
from benchmarks.reliability import harness
from benchmarks.reliability.runs import FIRST_STAGE, Settings, watched
from benchmarks.reliability.tiny import Tiny
from codefusion import assemble
from codefusion.commands import allocator

LIMIT = 20.0  # MB
_MB = 1e6
_WARM_UP = 0.2  # share of the looks
_REQUESTS = 50  # answered at a time


class Programs:
    """Counts what JAX compiles or reads compiled, from its making on.

    Attributes:
      count: programs so far.
    """

    def __init__(self):
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event, seconds, **details):
        del seconds, details
        self.count += event == "/jax/core/compile/backend_compile_duration"


@dataclasses.dataclass
class Looks:
    """What the process held at moments of a run, of which the first are a warm-up.

    Attributes:
      programs: the `Programs` of the process.
      memory: resident bytes at each look.
      files: open files likewise.
      compiled: programs compiled so far, likewise.
    """

    programs: Programs
    memory: list[int] = dataclasses.field(default_factory=list)
    files: list[int] = dataclasses.field(default_factory=list)
    compiled: list[int] = dataclasses.field(default_factory=list)

    def look(self):
        """Takes one look."""
        gc.collect()
        self.memory.append(resident_bytes())
        usual = statistics.median(self.files) if self.files else math.inf
        self.files.append(open_files_at_rest(usual))
        self.compiled.append(self.programs.count)

    @property
    def growth(self):
        """The most held above the end of the warm-up: (MB, programs, files)."""
        series = (self.memory, self.compiled, self.files)
        rest = [values[int(_WARM_UP * len(values)) :] for values in series]
        grown = [max(values) - values[0] for values in rest]
        return grown[0] / _MB, grown[1], grown[2]

    def figures(self, name):
        """Returns {figure: value}."""
        memory, compiled, files = self.growth
        return {
            f"MB_of_growth_in_{name}": round(memory, 1),
            f"programs_compiled_in_{name}": compiled,
            f"more_open_files_in_{name}": files,
        }

    def held(self, name):
        """Returns {what was to hold: whether it did}."""
        memory, compiled, files = self.growth
        return {
            f"under {LIMIT} MB of growth in {name}": memory < LIMIT,
            f"nothing compiled in {name}": compiled == 0,
            f"no more open files in {name}": files <= 0,
        }


def resident_bytes():
    """Returns the resident memory of this process."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files():
    """Returns how many files, pipes and sockets this process has open."""
    return len(os.listdir("/proc/self/fd")) - 1  # less that of the listing


def open_files_at_rest(usual):
    """Returns how many are open, once a save under way is over.

    Args:
      usual: the count that is waited for, five seconds at most.
    """
    deadline = time.monotonic() + 5.0
    found = open_files()
    while found > usual and time.monotonic() < deadline:
        time.sleep(0.01)
        found = min(found, open_files())
    return found


def train(program, workdir, settings, programs, *, number=100):
    """Returns a number of `Looks` at a training run."""
    looks = Looks(programs)
    every = max(1, settings.steps // number)

    def read(stage, index, batch):
        done = index + (FIRST_STAGE if stage == "training" else 0)
        if done % every == 0:
            looks.look()
        return batch

    program.train(workdir, settings, change=functools.partial(watched, read=read))
    return looks


def sample(workdir, samples, programs):
    """Returns the `Looks` at a number of samples drawn from a trained model."""
    looks = Looks(programs)
    model = codefusion.load(workdir)
    examples = itertools.cycle(assemble.dataset(model.config).examples("train"))
    for done in range(0, samples, _REQUESTS):
        requests = [e.utterance for e in itertools.islice(examples, _REQUESTS)]
        model.generate(requests, seed=done, truncate=True)
        looks.look()
    return looks


def main():
    """Trains and samples as the flags say and ends in a line of figures."""
    flags = harness.parser(__doc__, steps=5000, samples=5000).parse_args()
    allocator.keep_freed_memory()  # as the commands do
    overrides = dict(num_draws=1, num_candidates=1, batch_size=_REQUESTS)
    program = Tiny(tuple((f"inference.{k}", n) for k, n in overrides.items()))
    every = max(1, flags.steps // 50)
    settings = Settings(steps=flags.steps, every=every, log_every=20)
    with harness.scratch() as root:
        programs = Programs()
        steps = train(program, root / "run", settings, programs)
        samples = sample(root / "run", flags.samples, programs)
    figures = dict(steps=flags.steps, samples=flags.samples)
    figures |= steps.figures("steps") | samples.figures("samples")
    harness.finish("memory", figures, steps.held("steps") | samples.held("samples"))


if __name__ == "__main__":
    main()
