"""Exact match."""

import dataclasses
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class ExactMatch:
    """1 if the texts are equal, white space around them aside."""

    name: ClassVar[str] = "exact_match"
    languages: ClassVar[tuple[str, ...] | None] = None

    def score(self, prediction, example):
        """Returns 1.0 or 0.0.

        Args:
          prediction: a program, str.
          example: the row, with its reference in `code`.

        Returns:
          Score, float.
        """
        return float(prediction.strip() == example.code.strip())
