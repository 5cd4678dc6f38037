"""A run cut at random steps ends as one that was never cut, in every byte.

    python -m benchmarks.reliability.resume --cuts=20 --seed=0

Runs of 500 steps are each cut a few times, by a crash, which goes on from an earlier
checkpoint, or by SIGTERM. Compared with a run without a cut are the content of every
batch that is read after every cut, every loss, and in the end the bytes of parameters,
average and optimizer. Five minutes on two CPU cores.
"""

import dataclasses
import itertools
import os
import pathlib
import random
import signal

from benchmarks.reliability import harness
from benchmarks.reliability.runs import FIRST_STAGE, Settings, watched
from codefusion.checkpoints import Checkpoints
from codefusion.training.signals import Stopped

_PER_RUN = 4  # cuts


@dataclasses.dataclass
class Tally(harness.Tally):
    """What the cuts did."""

    cuts: int = 0
    runs: int = 0
    batches: int = 0
    arrays: int = 0
    wrong_starts: int = harness.fault()
    wrong_batches: int = harness.fault()
    wrong_losses: int = harness.fault()
    wrong_arrays: int = harness.fault()
    wrong_runs: int = harness.fault()


class Crash(Exception):
    """Ends a run at a step of our choice."""


class Journal:
    """Notes the batches that a run reads, and cuts it.

    Args:
      cut: number of steps before the cut, or None.
      is_stop: whether it is cut by SIGTERM, and not by a crash.

    Attributes:
      batches: [(steps before it, digest)] of all batches read.
    """

    def __init__(self, cut=None, *, is_stop=False):
        self.batches, self._cut, self._is_stop = [], cut, is_stop

    def watch(self, stages):
        """Returns stages whose batches are noted."""
        return watched(stages, read=self._read)

    def _read(self, stage, index, batch):
        number = index + (FIRST_STAGE if stage == "training" else 0)
        if number == self._cut and not self._is_stop:
            raise Crash
        if number == self._cut:
            os.kill(os.getpid(), signal.SIGTERM)
        self.batches.append((number, tuple(harness.digests(batch).values())))
        return batch


@dataclasses.dataclass
class Subject:
    """One work directory, trained in this process and cut on its way.

    Attributes:
      reference: what it has to equal.
      order: the reference's batches, [(steps before it, digest)].
      workdir: the work directory.
      tally: counts over all of them.
    """

    reference: harness.Reference
    order: list
    workdir: pathlib.Path
    tally: Tally

    def live(self, cut=None, *, is_stop=False):
        """Trains up to a cut, or to the end."""
        reference, journal = self.reference, Journal(cut, is_stop=is_stop)
        first = Checkpoints(self.workdir).latest() or 0
        try:
            reference.program.train(
                self.workdir, reference.settings, change=journal.watch
            )
        except (Crash, Stopped):
            self.tally.cuts += 1
        self.compare(first, journal.batches)

    def compare(self, first, batches):
        """Counts what a life that resumed after `first` steps did otherwise."""
        tally, reference = self.tally, self.reference
        tally.batches += len(batches)
        tally.wrong_starts += [n for n, _ in batches[:1]] not in ([], [first])
        expected = self.order[first : first + len(batches)]
        pairs = itertools.zip_longest(batches, expected)
        tally.wrong_batches += sum(found != wanted for found, wanted in pairs)
        tally.wrong_losses += len(reference.wrong_losses(self.workdir))
        step = Checkpoints(self.workdir).latest()
        if step in reference.steps:
            tally.arrays += len(reference.state(step))
            tally.wrong_arrays += len(reference.wrong_leaves(self.workdir, step))


def order(reference):
    """Returns the batches of an uncut run, [(steps before it, digest)]."""
    journal = Journal()
    workdir = reference.workdir.with_name("order")
    reference.program.train(workdir, reference.settings, change=journal.watch)
    return journal.batches


def resume(reference, root, *, cuts, seed):
    """Returns the `Tally` of a number of cuts.

    Args:
      reference: a `harness.Reference`.
      root: folder for the work directories.
      cuts: how many.
      seed: of their steps and kinds.
    """
    tally, rng, expected = Tally(), random.Random(seed), order(reference)
    while tally.cuts < cuts:
        subject = Subject(reference, expected, root / f"cut{tally.runs}", tally)
        number = min(_PER_RUN, cuts - tally.cuts)
        for cut in sorted(rng.sample(range(1, reference.settings.steps), number)):
            subject.live(cut, is_stop=rng.random() < 0.5)
        subject.live()
        tally.runs += 1
        tally.wrong_runs += not reference.is_whole(subject.workdir)
    return tally


def held(tally, cuts):
    """Returns {what was to hold: whether it did}."""
    return tally.held() | {f"{cuts} cuts": tally.cuts == cuts}


def main():
    """Cuts as often as the flags say and ends in a line of figures."""
    parser = harness.parser(__doc__, program="tiny", cuts=20, steps=500, every=25)
    flags = parser.parse_args()
    settings = Settings(steps=flags.steps, every=flags.every)
    with harness.scratch() as root, harness.compiled_once(root):
        program = harness.PROGRAMS[flags.program]()
        reference = harness.reference(program, settings, root / "whole", flags.every)
        tally = resume(reference, root, cuts=flags.cuts, seed=flags.seed)
    harness.finish("resume", dataclasses.asdict(tally), held(tally, flags.cuts))


if __name__ == "__main__":
    main()
