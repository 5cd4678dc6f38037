"""Functions and tree nodes of the conditional-formatting rule language."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Number:
    """A number.

    Attributes:
      value: float.
      percent: bool, written with "%"; trees that `cf_language.parse` returns hold the
        meaning instead: `top(10%)` is `TopPercent` of 10, `GreaterThan(5%)` of 0.05.
    """

    value: float
    percent: bool = False


@dataclasses.dataclass(frozen=True)
class Text:
    """A text, or a quantity such as "13 Days", or a date.

    Attributes:
      value: str, without quotes and outer spaces.
    """

    value: str


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the table, `c[index]`.

    Attributes:
      index: int, from 0.
    """

    index: int


@dataclasses.dataclass(frozen=True)
class Reference:
    """A cell by its address, `$D$9`.

    Attributes:
      address: str, upper case.
    """

    address: str


@dataclasses.dataclass(frozen=True)
class Call:
    """A function and what it is applied to.

    Attributes:
      name: canonical name, a key of `FUNCTIONS`.
      arguments: tuple of Call, Number, Text, Column or Reference.
      subject: Column, `LEN` Call, or None where the rule names no column.
    """

    name: str
    arguments: tuple = ()
    subject: object = None


@dataclasses.dataclass(frozen=True)
class Function:
    """What the language knows of a function.

    Attributes:
      takes: "rules", "text", "values", "count", "nothing" or "column".
      least: int, the fewest arguments, the column not counted.
      most: int, the most arguments.
      aliases: tuple of str, other names, in lower case.
      visual: bool, whether it draws on all numbers instead of choosing cells.
    """

    takes: str
    least: int = 1
    most: int = 1
    aliases: tuple = ()
    visual: bool = False


def _order(word):
    return (f"{word}equals", f"{word}orequal", f"{word}orequals", f"{word}orequalto")


FUNCTIONS = {
    "AND": Function("rules", 1, 99),
    "OR": Function("rules", 1, 99),
    "NOT": Function("rules"),
    "GreaterThan": Function("values"),
    "GreaterThanEqual": Function("values", aliases=_order("greaterthan")),
    "LessThan": Function("values"),
    "LessThanEqual": Function("values", aliases=_order("lessthan")),
    "Equals": Function("values", aliases=("equal", "equalto")),
    "NotEquals": Function("values", aliases=("notequal", "notequalto")),
    "Between": Function("values", 2, 2),
    "NotBetween": Function("values", 2, 2),
    "TextEquals": Function("text", aliases=("textequal", "textequalto")),
    "TextContains": Function("text", aliases=("contains", "textcontain")),
    "TextStartsWith": Function("text", aliases=("startswith", "beginswith")),
    "TextEndsWith": Function("text", aliases=("endswith",)),
    "Top": Function("count", 0, 1, aliases=("topitems",)),
    "Bottom": Function("count", 0, 1, aliases=("bottomitems",)),
    "TopPercent": Function("count"),
    "BottomPercent": Function("count"),
    "AboveAverage": Function("nothing", 0, 0),
    "BelowAverage": Function("nothing", 0, 0),
    "Duplicates": Function("nothing", 0, 0, aliases=("duplicate",)),
    "Blanks": Function("nothing", 0, 0, aliases=("blank", "isblank")),
    "Errors": Function("nothing", 0, 0, aliases=("error", "iserror")),
    "LastMonth": Function("nothing", 0, 0),
    "ColorScale": Function("nothing", 0, 0, ("colorscales",), visual=True),
    "DataBar": Function("nothing", 0, 0, ("databars",), visual=True),
    "IconSet": Function("nothing", 0, 0, ("iconsets",), visual=True),
    "LEN": Function("column", 0, 0),
}
CONNECTIVES = frozenset(("AND", "OR", "NOT"))
NAMES = {
    spelling: name
    for name, function in FUNCTIONS.items()
    for spelling in (name.lower(), *function.aliases)
}
