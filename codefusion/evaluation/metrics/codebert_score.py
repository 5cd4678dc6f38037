"""CodeBERTScore (Zhou et al., 2023): F3 over contextual token embeddings."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np


@dataclasses.dataclass(frozen=True)
class CodeBertScore:
    """F3 of greedy cosine matches between the tokens of two programs.

    F3 is 10 P R / (9 P + R): recall counts for more, as in the paper. It is 0 where a
    program has no token to compare, and it is not rescaled by a baseline.

    Attributes:
      language: "python".
      embed: gives a row for each token of a text that is compared, str ->
        float[T, D], such as `codebert.load` returns; which tokens those are is said
        there. None if there is no model, and then the score is not available.
    """

    name: ClassVar[str] = "codebert_score"
    languages: ClassVar[tuple[str, ...] | None] = ("python",)
    language: str = "python"
    embed: Callable[[str], np.ndarray] | None = None

    @property
    def unavailable(self):
        """Returns why there is no score, str; empty if there is one."""
        return "" if self.embed else "not available: needs --codebert"

    def score(self, prediction, example):
        """Returns the F3 in [0, 1], negative cosines as 0; see `ExactMatch.score`."""
        if self.unavailable:
            raise ValueError(f"codebert_score is {self.unavailable}=FOLDER.")
        guess, gold = (_unit(self.embed(s)) for s in (prediction, example.code))
        if not len(guess) or not len(gold):
            return 0.0
        cosines = np.clip(guess @ gold.T, 0.0, 1.0)
        precision, recall = cosines.max(1).mean(), cosines.max(0).mean()
        total = 9.0 * precision + recall
        return float(10.0 * precision * recall / total) if total else 0.0


def _unit(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
