"""The data set of our own grammar, which needs no file and no network."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import ClassVar

from codefusion.data import rows, splits
from codefusion.data.builders import prepare


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """Requests, tables and rules from our own grammar: no file and no network.

    Attributes:
      source_length: tokens of a request, its end included.
      target_length: tokens of a program, its end included.
      size: examples in the train split.
      held_out_size: examples in each of the validation and test splits.
      seed: names the data set; every seed draws other examples.
      column_argument: whether rules name their column, `GreaterThan(c[1], 25)`.
    """

    source_length: int = 64
    target_length: int = 64
    size: int = 50_000
    held_out_size: int = 1_000
    seed: int = 0
    column_argument: bool = False

    name: ClassVar[str] = "generated"
    language: ClassVar[str] = "cf"
    scheme: ClassVar[str] = "generated"

    def __post_init__(self):
        for key in ("size", "held_out_size"):
            if getattr(self, key) < 1:
                value = getattr(self, key)
                raise ValueError(f"data.{key} is {value}; expected 1 or more.")

    def examples(self, split):
        """Returns the examples of a split; each is made when it is asked for.

        Args:
          split: "train", "validation" or "test".

        Returns:
          A sequence of `Example`s with random access.
        """
        splits.one_of("split", split, splits.SPLITS, section="evaluation")
        size = self.size if split == "train" else self.held_out_size
        return GeneratedExamples(self.seed, split, size, self.column_argument)

    def outcomes(self, split):
        """Returns an `Outcome` for every example; none is ever refused."""
        return [rows.Outcome(e.id, split, e) for e in self.examples(split)]

    def quarantined(self, split):
        """Returns no error: the grammar makes no bad row."""
        splits.one_of("split", split, splits.SPLITS, section="evaluation")
        return []

    @property
    def content_hash(self):
        """SHA-256 of the grammar's source and of the fields that choose from it."""
        digest = hashlib.sha256(prepare.source_code("generated"))
        for key in ("seed", "size", "held_out_size", "column_argument"):
            digest.update(f"{key}={getattr(self, key)}\n".encode())
        return digest.hexdigest()

    def held_out_rows(self):
        """Returns 0: no split holds a rule of another."""
        return 0

    def file_counts(self):
        """Returns an empty dict: there is no file."""
        return {}

    def sources(self):
        """Returns no file."""
        return ()


@dataclasses.dataclass(frozen=True)
class GeneratedExamples(Sequence):
    """A split of `Generated`: example i is a function of the seed, the split and i.

    Attributes:
      seed: of the data set.
      split: "train", "validation" or "test".
      size: number of examples.
      column_argument: whether rules name their column.
    """

    seed: int
    split: str
    size: int
    column_argument: bool = False

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.size))]
        if not -self.size <= index < self.size:
            raise IndexError(f"index {index} of {self.size} examples")
        generate = prepare.module("generated").generate
        return generate(
            self.seed,
            index % self.size,
            self.split,
            column_argument=self.column_argument,
        )
