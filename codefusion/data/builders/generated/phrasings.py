"""How people ask for each kind of rule, and the sentences around the condition.

A kind is worded in up to three ways: `are` completes "cells that are ...", `do`
completes "cells that ..." (plural and singular form, parted by a bar) and `full` is a
request of its own. `{a}` and `{b}` stand for the constants, `{mark}` for a verb such
as "Highlight", `{cells}` for what is formatted, `{col}` for the column's name and
`{where}` and `{paint}` for distractors: a place and a colour.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Phrases:
    """The wordings of one kind of rule.

    Attributes:
      are: tuple of str, completions of "cells that are ...".
      do: tuple of str, completions of "cells that ...", "plural|singular".
      full: tuple of str, whole requests.
    """

    are: tuple = ()
    do: tuple = ()
    full: tuple = ()

    def __len__(self):
        return len(self.are) + len(self.do) + len(self.full)


ARE_FRAMES = (
    "{mark} {cells} that are {c}{where}{paint}",
    "{mark} {cells} which are {c}{where}{paint}",
    "{mark} {cells} {c}{where}{paint}",
    "{mark} {col} that is {c}{where}{paint}",
    "{mark} {cells} where {col} is {c}{paint}",
    "{mark} {cells} with a value {c}{where}{paint}",
    "{mark} {cells} that have value {c}{where}{paint}",
    "{mark} {cells} whose value is {c}{where}{paint}",
    "{mark} the {col} column where the value is {c}{where}{paint}",
    "{mark} a cell{where} if it is {c}{paint}",
    "{mark} {cells}{where} if {col} is {c}{paint}",
    "if the value is {c}{where} {mark} the cell{paint}",
    "I want {cells} that are {c} to stand out{where}{paint}",
    "apply conditional formatting to {cells} that are {c}{where}{paint}",
    "apply conditional formatting{where} when the value is {c}{paint}",
    "apply a fill{paint} to {cells} that are {c}{where}",
    "{where} {mark} {cells} that are {c}{paint}",
    "{where} {mark} values {c}{paint}",
    "{cells} that are {c} should be formatted{where}{paint}",
    "{mark} every cell that is {c}{where}{paint}",
)

DO_FRAMES = (
    "{mark} {cells} that {do}{where}{paint}",
    "{mark} {cells} which {do}{where}{paint}",
    "{mark} any cell that {does}{where}{paint}",
    "{mark} {cells} where {col} {does}{paint}",
    "{mark} {col} that {does}{where}{paint}",
    "{mark} a cell{where} if it {does}{paint}",
    "if a cell {does}{where} {mark} it{paint}",
    "{mark} {cells} whose value {does}{where}{paint}",
    "apply conditional formatting to {cells} that {do}{where}{paint}",
    "{where} {mark} {cells} that {do}{paint}",
    "I need to color {cells} that {do}{where}",
    "{mark} the cells{where} when the text {does}{paint}",
)

# {c} and {d} are the two conditions, worded by `conditions.ATOMS`.
BOTH = (
    "{c} and {d}",
    "{c} but {d}",
    "both {c} and {d}",
    "{c} and also {d}",
    "{c} as well as {d}",
    "{c} & {d}",
    "{c}, and {d}",
    "{c} while {d}",
)
EITHER = (
    "{c} or {d}",
    "either {c} or {d}",
    "{c} or else {d}",
    "{c} or also {d}",
    "{c}, or {d}",
    "either {c}, or {d}",
    "{c} or maybe {d}",
    "{c} or just {d}",
)
NEITHER = (
    "neither {c} nor {d}",
    "not {c} and not {d}",
    "not {c} or {d}",
    "anything but {c} and {d}",
    "other than {c} and {d}",
    "different from {c} and {d}",
    "not {c} nor {d}",
    "not equal to {c} and not to {d}",
)
