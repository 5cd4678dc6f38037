"""SIGTERM at random moments: saved at the current step, exit code 0, the same bits.

    python -m benchmarks.reliability.sigterm --stops=100 --seed=0

Signals come from the moment on that the loop listens: while it compiles its first step,
between steps, and inside a save. The step that was saved must be the last that was
trained, at most `LATE` beyond the last one reported when the signal was sent. About 10
seconds a stop on two CPU cores; --program=toy takes 2.
"""

import dataclasses
import pathlib
import random
import signal
import sys
import time

from benchmarks.reliability import harness
from benchmarks.reliability.runs import Settings
from codefusion.checkpoints import Checkpoints

LATE = 8  # steps: reports are 2 late, and a wish to stop goes round with a step
_EARLY = 0.3  # share of the signals that come while a resumed run compiles
_STEPS = 20  # within which the others come
_SECONDS = 0.1  # by which a signal comes later
_MARGIN = 60  # steps before the end, beyond which a run is left to finish


@dataclasses.dataclass
class Tally(harness.Tally):
    """What the signals did."""

    stops: int = 0
    finished_runs: int = 0
    most_steps_late: int = 0
    most_seconds: float = 0.0
    failed_exits: int = harness.fault()
    not_at_the_current_step: int = harness.fault()
    wrong_losses: int = harness.fault()
    wrong_leaves: int = harness.fault()
    wrong_runs: int = harness.fault()


@dataclasses.dataclass
class Subject:
    """One work directory, trained by processes that are told to stop.

    Attributes:
      reference: what it has to equal.
      workdir: the work directory.
      tally: counts over all of them.
      rng: draws the moments.
    """

    reference: harness.Reference
    workdir: pathlib.Path
    tally: Tally
    rng: random.Random

    def live(self):
        """Starts a process and stops it; returns whether the run goes on."""
        first = self._logged()
        process = self._start()
        listens = lambda: "Resuming from" in process.printed()  # noqa: E731
        target = first + self.rng.randrange(1, _STEPS)
        is_early = first and self.rng.random() < _EARLY
        process.until(listens if is_early else lambda: self._logged() >= target)
        time.sleep(self.rng.uniform(0.0, _SECONDS))
        process.send(signal.SIGTERM)
        sent, logged = time.monotonic(), self._logged()
        code = process.wait()
        self.tally.most_seconds = max(
            self.tally.most_seconds, round(time.monotonic() - sent, 2)
        )
        return self._judge(process, code, logged)

    def finish(self):
        """Lets the run end and compares all of it."""
        process = self._start()
        if process.wait() != 0:
            self.tally.failed_exits += 1
            print(process.printed()[-2000:], file=sys.stderr)
        process.end()
        self.tally.finished_runs += 1
        self.tally.wrong_runs += not self.reference.is_whole(self.workdir)

    def _start(self):
        reference = self.reference
        return harness.Process(reference.program, self.workdir, reference.settings)

    def _logged(self):
        return max(harness.losses(self.workdir), default=0)

    def _judge(self, process, code, logged):
        """Compares what a process left; returns whether the run goes on."""
        tally, reference = self.tally, self.reference
        tally.stops += 1
        step = Checkpoints(self.workdir).latest()
        if code != 0 or step is None:
            tally.failed_exits += 1
            print(process.printed()[-2000:], file=sys.stderr)
            process.end()
            return False
        tally.most_steps_late = max(tally.most_steps_late, step - logged)
        is_current = logged <= step <= logged + LATE and step == self._logged()
        said = f"SIGTERM: saved at step {step}." in process.printed()
        tally.not_at_the_current_step += not (is_current and said)
        tally.wrong_losses += len(reference.wrong_losses(self.workdir))
        tally.wrong_leaves += len(reference.wrong_leaves(self.workdir, step))
        return step < reference.settings.steps - _MARGIN


def stop(reference, root, *, stops, seed):
    """Returns the `Tally` of a number of stops, spread over as many runs as it takes.

    Args:
      reference: a `harness.Reference`.
      root: folder for the work directories.
      stops: how many.
      seed: of the moments.
    """
    tally, rng = Tally(), random.Random(seed)
    while tally.stops < stops:
        workdir = root / f"subject{tally.stops}"
        subject = Subject(reference, workdir, tally, rng)
        while subject.live() and tally.stops < stops:
            pass
        subject.finish()
    return tally


def held(tally, stops):
    """Returns {what was to hold: whether it did}."""
    return tally.held() | {f"{stops} stops": tally.stops == stops}


def main():
    """Stops as often as the flags say and ends in a line of figures."""
    parser = harness.parser(__doc__, program="tiny", stops=100, steps=200, every=20)
    flags = parser.parse_args()
    settings = Settings(steps=flags.steps, every=flags.every)
    with harness.scratch() as root:
        program = harness.PROGRAMS[flags.program]()
        reference = harness.reference(program, settings, root / "whole")
        tally = stop(reference, root, stops=flags.stops, seed=flags.seed)
    harness.finish("sigterm", dataclasses.asdict(tally), held(tally, flags.stops))


if __name__ == "__main__":
    main()
