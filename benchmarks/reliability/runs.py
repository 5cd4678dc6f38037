"""What the programs that the scripts run have in common."""

import contextlib
import dataclasses
import pathlib

from codefusion.training.faults import STOP

ROOT = pathlib.Path(__file__).parents[2]
FIRST_STAGE = 10  # steps of pre-training


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long a run is and when it saves.

    Attributes:
      steps: updates over both stages.
      every: steps between checkpoints; 0 saves only where a stage ends.
      keep: how many checkpoints are kept.
      log_every: steps in a row of metrics.
      on_non_finite: what follows a step that is not finite, `faults.STOP` or `SKIP`.
    """

    steps: int
    every: int = 0
    keep: int = 2
    log_every: int = 1
    on_non_finite: str = STOP


class Watched:
    """Batches that are handed to `read(stage, index, batch)` on their way to the loop.

    What `read` returns is trained on; what it raises ends the run.
    """

    def __init__(self, batches, stage, read):
        self._batches, self._stage, self._read = batches, stage, read

    def __getattr__(self, name):
        return getattr(self._batches, name)

    def __getitem__(self, index):
        return self._batches[index]

    def iterate(self, start):
        """Returns an iterator over the batches from `start` on."""
        with contextlib.closing(self._batches.iterate(start)) as batches:
            for index, batch in enumerate(batches, start):
                yield self._read(self._stage, index, batch)


def watched(stages, *, read):
    """Returns stages whose batches pass through `read`."""
    return [
        dataclasses.replace(stage, batches=Watched(stage.batches, stage.name, read))
        for stage in stages
    ]
