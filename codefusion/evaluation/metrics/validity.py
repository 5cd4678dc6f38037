"""Syntactic validity."""

import dataclasses
from typing import ClassVar

from codefusion.data import syntax


@dataclasses.dataclass(frozen=True)
class Validity:
    """1 if the prediction is a program of its language (see `syntax.is_valid`)."""

    name: ClassVar[str] = "validity"
    languages: ClassVar[tuple[str, ...] | None] = syntax.LANGUAGES
    language: str

    def score(self, prediction, example):
        """Returns 1.0 or 0.0; the reference plays no part. See `ExactMatch.score`."""
        return float(syntax.is_valid(prediction, self.language))
