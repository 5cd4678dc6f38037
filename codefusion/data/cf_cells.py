"""What a spreadsheet sees in a cell: a number, a date, text, an error or nothing."""

import dataclasses
import datetime
import math
import re

_ERROR = re.compile(r"#(N/A|DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!|SPILL!|CALC!)", re.I)
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)[$€£¥]?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+\.?\d*|\.\d+)"
    r"(?P<power>[eE][-+]?\d{1,3})?\s?(?P<percent>%?)",
    re.ASCII,
)
_QUANTITY = re.compile(r"([-+]?\d+(?:\.\d+)?)\W*([^\W\d].*)", re.ASCII)
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T][\d:.]+)?", re.ASCII)
_DAY_FIRST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", re.ASCII)
_DAY_ZERO = datetime.date(1899, 12, 30)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A value as rules see it.

    Attributes:
      shown: str, what the cell displays, without outer spaces; empty for a blank.
      number: float, or None. A date counts as its day.
      date: datetime.date, or None.
      error: bool, whether it is an error value such as #N/A.
    """

    shown: str
    number: float | None = None
    date: datetime.date | None = None
    error: bool = False

    @classmethod
    def read(cls, value):
        """Returns the Cell of a JSON value: str, int, float, bool or None."""
        if value is None:
            return cls("")
        if isinstance(value, bool):
            return cls(str(value).upper())
        if isinstance(value, (int, float)):
            return cls._of_number(float(value))
        shown = str(value).strip()
        if _ERROR.fullmatch(shown):
            return cls(shown, error=True)
        date = _date(shown)
        number = _number(shown) if date is None else float((date - _DAY_ZERO).days)
        return cls(shown, number, date)

    @classmethod
    def _of_number(cls, value):
        if not math.isfinite(value):
            return cls("#NUM!", error=True)
        whole = value == int(value) and abs(value) < 1e15
        return cls(str(int(value)) if whole else repr(value), value)

    @property
    def text(self):
        """Returns the shown text for comparisons without regard to case, str."""
        return self.shown.casefold()

    @property
    def key(self):
        """Returns a value that is equal for duplicates."""
        return self.text if self.number is None else self.number

    def comparable(self, other):
        """Returns two numbers to compare, or None if the cells are of different kinds.

        Two quantities with the same unit, such as "5 Days" and "13 days", compare by
        their numbers.

        Args:
          other: Cell.
        """
        if self.number is not None and other.number is not None:
            return self.number, other.number
        mine, theirs = (_QUANTITY.fullmatch(cell.text) for cell in (self, other))
        if mine and theirs and mine[2].rstrip("s.") == theirs[2].rstrip("s."):
            return float(mine[1]), float(theirs[1])
        return None


def _number(shown):
    match = _NUMBER.fullmatch(shown)
    if not match:
        return None
    text = match["sign"] + match["digits"].replace(",", "") + (match["power"] or "")
    number = float(text) / (100 if match["percent"] else 1)
    return number if math.isfinite(number) else None


def _date(shown):
    parts = _ISO.fullmatch(shown)
    year_month_day = [int(part) for part in parts.groups()] if parts else None
    if not parts:
        parts = _DAY_FIRST.fullmatch(shown)
        if not parts:
            return None
        day, month, year = (int(part) for part in parts.groups())
        if month > 12:
            day, month = month, day
        year_month_day = [year, month, day]
    try:
        return datetime.date(*year_month_day)
    except ValueError:
        return None
