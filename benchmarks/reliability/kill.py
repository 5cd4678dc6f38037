"""SIGKILL at random moments: nothing that was saved is lost, and no bit is another.

    python -m benchmarks.reliability.kill --kills=100 --seed=0

A run saves after every step and is killed again and again: one time in ten while it
starts, else after it has saved something. After each kill the newest checkpoint is
verified, restored and compared with that of a run that nothing happened to, and so is
every loss that was ever reported. A kill was inside a save where it left a checkpoint
unfinished that was not there, as it is now, when the process started. 10 seconds a kill
on two CPU cores; --program=toy takes 2.
"""

import dataclasses
import pathlib
import random
import signal
import sys
import time

from benchmarks.reliability import harness
from benchmarks.reliability.runs import Settings
from codefusion.checkpoints import CheckpointError, Checkpoints

_EARLY = 0.1  # share of the kills that come while a process starts
_SPREAD = 0.6  # seconds after a save within which the others come


@dataclasses.dataclass
class Tally(harness.Tally):
    """What the kills did."""

    kills: int = 0
    inside_a_save: int = 0
    finished_runs: int = 0
    losses: int = 0
    lost_steps: int = harness.fault()
    failed_restarts: int = harness.fault()
    wrong_losses: int = harness.fault()
    wrong_leaves: int = harness.fault()
    wrong_runs: int = harness.fault()


@dataclasses.dataclass
class Victim:
    """One work directory, trained by processes that are killed.

    Attributes:
      reference: what it has to equal.
      workdir: the work directory.
      tally: counts over all victims.
      rng: draws the moments.
      start_seconds: how long the last start took, up to the first save.
    """

    reference: harness.Reference
    workdir: pathlib.Path
    tally: Tally
    rng: random.Random
    start_seconds: float = 5.0

    def live(self):
        """Starts a process and kills it; returns whether the run goes on."""
        self.saved = Checkpoints(self.workdir)
        self.first = self.committed = self._newest()
        process = self._start()
        self._wait_for_the_moment(process)
        return self._judge(process, process.end())

    def finish(self):
        """Lets the run end unharmed."""
        self.committed = self._newest()
        process = self._start()
        process.wait()
        self._judge(process, process.end())

    def _start(self):
        reference = self.reference
        self.left = harness.unfinished(self.workdir)
        return harness.Process(reference.program, self.workdir, reference.settings)

    def _wait_for_the_moment(self, process):
        start = time.monotonic()
        deadline = start + self.rng.uniform(0.0, self.start_seconds)
        if self.rng.random() >= _EARLY and process.until(self._has_saved):
            self.start_seconds = time.monotonic() - start
            deadline = time.monotonic() + self.rng.uniform(0.0, _SPREAD)
        while time.monotonic() < deadline and process.code is None:
            self._has_saved()
            time.sleep(0.002)

    def _has_saved(self):
        newest = self._newest()
        if newest is not None:
            self.committed = max(newest, self.committed or 0)
        return self.committed != self.first

    def _newest(self):
        return max(self.saved.steps(), default=None)

    def _judge(self, process, code):
        """Compares what a process left; returns whether the run goes on."""
        tally, reference = self.tally, self.reference
        if code not in (0, -signal.SIGKILL):
            tally.failed_restarts += 1
            print(process.printed()[-2000:], file=sys.stderr)
            return False
        if code != 0:
            tally.kills += 1
            left = harness.unfinished(self.workdir)
            tally.inside_a_save += bool(left - self.left)
        step = self._intact()
        tally.lost_steps += (self.committed or 0) > (step or 0)
        tally.losses += len(harness.losses(self.workdir))
        tally.wrong_losses += len(reference.wrong_losses(self.workdir))
        if step is not None:
            tally.wrong_leaves += len(reference.wrong_leaves(self.workdir, step))
        if code == 0:
            tally.finished_runs += 1
            tally.wrong_runs += not reference.is_whole(self.workdir)
        return code != 0

    def _intact(self):
        try:
            return Checkpoints(self.workdir).latest()
        except CheckpointError as error:
            print(error, file=sys.stderr)
            return None


def kill(reference, root, *, kills, seed):
    """Returns the `Tally` of a number of kills, spread over as many runs as it takes.

    Args:
      reference: a `harness.Reference`.
      root: folder for the work directories.
      kills: how many.
      seed: of the moments.
    """
    tally, rng = Tally(), random.Random(seed)
    while tally.kills + tally.failed_restarts < kills:
        number = tally.finished_runs + tally.failed_restarts
        victim = Victim(reference, root / f"victim{number}", tally, rng)
        while tally.kills < kills and victim.live():
            pass
        if tally.kills == kills:
            victim.finish()
    return tally


def held(tally, kills):
    """Returns {what was to hold: whether it did}."""
    return tally.held() | {
        f"{kills} kills": tally.kills == kills,
        "half of them inside a save": 2 * tally.inside_a_save >= kills,
    }


def main():
    """Kills as often as the flags say and ends in a line of figures."""
    parser = harness.parser(__doc__, program="tiny", kills=100, steps=40)
    flags = parser.parse_args()
    settings = Settings(steps=flags.steps, every=1)
    with harness.scratch() as root:
        program = harness.PROGRAMS[flags.program]()
        reference = harness.reference(program, settings, root / "whole")
        tally = kill(reference, root, kills=flags.kills, seed=flags.seed)
    harness.finish("kill", dataclasses.asdict(tally), held(tally, flags.kills))


if __name__ == "__main__":
    main()
