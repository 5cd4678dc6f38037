"""One stretch of training: its loss, data, optimizer and average."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from codefusion.training import step as steps
from codefusion.training.optimizers import Optimizer


class Batches(Protocol):
    """The batches of a stage, each a pure function of its number.

    Attributes:
      content_hash: of all that they depend on.
      batch_size: rows of a whole batch.
      rows: which of them this process reads, sorted int[K]; None for all.
    """

    content_hash: str
    batch_size: int
    rows: Any

    def __getitem__(self, index: int) -> Any:
        """Returns batch `index`, a tree of arrays with leading dimension B."""

    def iterate(self, start: int) -> Iterator[Any]:
        """Returns an iterator over the batches from `start` on, with `close()`."""

    def examples(self, index: int) -> list[tuple[int, int]]:
        """Returns where the rows of a batch come from: (data set, row) numbers."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stretch of training with its own loss, data, optimizer and average.

    Attributes:
      name: shown in metrics and errors.
      loss_fn: `(params, batch, key) -> (loss, parts)`.
      optimizer: built for `num_steps` steps.
      batches: the stage's data.
      num_steps: updates to make.
      ema_decay: decay of the moving average of the parameters.
      microbatches: parts of a batch whose gradients are averaged.
      left_out: by data set, how many rows are too long to train on, and of how many;
        shown and recorded when the stage starts.
    """

    name: str
    loss_fn: steps.LossFn
    optimizer: Optimizer
    batches: Batches
    num_steps: int
    ema_decay: float = 0.999
    microbatches: int = 1
    left_out: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
