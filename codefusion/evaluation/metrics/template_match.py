"""Template match of Bash commands, strict and loose."""

import dataclasses
from typing import ClassVar

from codefusion.evaluation.bash_template import template


@dataclasses.dataclass(frozen=True)
class LooseTemplateMatch:
    """1 if both commands have the same loose template (see `bash_template`).

    Where either command does not parse (29 of the 2,522 references of the released
    test split do not), it is 1 only if the two are equal but for white space: an
    unparsable prediction cannot match a reference that parses.
    """

    name: ClassVar[str] = "template_match_loose"
    languages: ClassVar[tuple[str, ...] | None] = ("bash",)
    loose: ClassVar[bool] = True
    language: str = "bash"

    def score(self, prediction, example):
        """Returns 1.0 or 0.0; see `ExactMatch.score`."""
        wanted = template(example.code.strip(), loose=self.loose)
        found = template(prediction.strip(), loose=self.loose)
        if wanted is None or found is None:
            return float(prediction.split() == example.code.split())
        return float(wanted == found)


@dataclasses.dataclass(frozen=True)
class StrictTemplateMatch(LooseTemplateMatch):
    """1 if both commands have the same strict template; else as the loose one."""

    name: ClassVar[str] = "template_match_strict"
    loose: ClassVar[bool] = False
