"""Normalised edit similarity."""

import dataclasses
from typing import ClassVar

from codefusion import ranking


@dataclasses.dataclass(frozen=True)
class EditSimilarity:
    """1 - Levenshtein distance in characters / length of the longer text."""

    name: ClassVar[str] = "edit_similarity"
    languages: ClassVar[tuple[str, ...] | None] = None

    def score(self, prediction, example):
        """Returns the similarity in [0, 1]; see `ExactMatch.score`."""
        return ranking.edit_similarity(prediction.strip(), example.code.strip())
