"""Rows and their faults: what a data set reads, checked field by field.

Nothing here mends or guesses. A row that cannot be used becomes a `RowError` with its
file, line, field and reason. What to do with it (refuse the file, or set the row aside
and count it) is the choice of the data set. `readers.py` turns files into `Record`s.
"""

import dataclasses
import json

MAX_CHARS = 10_000
MAX_TABLE_CHARS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Example:
    """A request and the code that answers it.

    Attributes:
      id: unique within its data set, the same on every machine.
      utterance: the request; empty for rows of a code corpus.
      code: the program.
      table: a JSON list of rows, the first one the header; empty if there is none.
    """

    id: str
    utterance: str
    code: str
    table: str = ""


@dataclasses.dataclass(frozen=True)
class RowError:
    """Why a row cannot be used.

    Attributes:
      file: the file as the data set names it.
      line: line of the file on which the row begins, from 1.
      field: the field at fault, with its place in the file; empty for the whole row.
      reason: what is wrong and what would be right.
    """

    file: str
    line: int
    field: str
    reason: str

    def __str__(self):
        return f"{self.file}:{self.line}: {self.field or 'row'}: {self.reason}"


class BadRow(ValueError):
    """Raised inside a row's reader; carries the `RowError` as `error`."""

    def __init__(self, error):
        super().__init__(str(error))
        self.error = error


@dataclasses.dataclass(frozen=True)
class Record:
    """One row as read, before its fields are checked.

    Attributes:
      file: the file as the data set names it.
      line: line on which the row begins, from 1.
      part: name of the list that holds the row ("train"), empty if there is none.
      index: position in that list or file, from 0.
      value: the parsed JSON value, or the text of a line.
      fault: why the row could not be read; empty if it could.
    """

    file: str
    line: int
    part: str
    index: int
    value: object = None
    fault: str = ""

    def error(self, field, reason):
        """Returns the `RowError` for a field of this row."""
        place = f"{self.part}[{self.index}]" if self.part else ""
        field = ".".join(filter(None, (place, field)))
        return RowError(self.file, self.line, field, reason)

    def check(self):
        """Raises `BadRow` unless the row could be read."""
        if self.fault:
            raise BadRow(self.error("", self.fault))

    def _field(self, field):
        """Returns the value of a field; raises `BadRow` where there is none."""
        self.check()
        if not isinstance(self.value, dict):
            found = _kind(self.value)
            raise BadRow(self.error("", f"expected a JSON object, got {found}"))
        if field not in self.value:
            raise BadRow(self.error(field, "the field is missing"))
        return self.value[field]

    def line_text(self, *, max_chars=MAX_CHARS):
        """Returns the text of a row that is a line.

        Args:
          max_chars: the longest text that is accepted.

        Returns:
          The line as it stands in the file.
        """
        self.check()
        fault = text_fault(self.value, max_chars=max_chars)
        if fault:
            raise BadRow(self.error("", fault))
        return self.value

    def text(self, field, *, max_chars=MAX_CHARS, nullable=False):
        """Returns a field that must be text, or None where `nullable` allows null.

        Args:
          field: key in the row.
          max_chars: the longest text that is accepted.
          nullable: whether null is accepted.

        Returns:
          The text as it stands in the file.
        """
        value = self._field(field)
        if value is None and nullable:
            return None
        if not isinstance(value, str):
            raise BadRow(self.error(field, f"expected text, got {_kind(value)}"))
        fault = text_fault(value, max_chars=max_chars)
        if fault:
            raise BadRow(self.error(field, fault))
        return value

    def table(self, field, *, max_chars=MAX_TABLE_CHARS):
        """Returns a field that must be a list of rows of cells, as compact JSON text.

        Args:
          field: key in the row.
          max_chars: the longest JSON text that is accepted.

        Returns:
          JSON text of a list of lists of text, numbers, booleans and nulls.
        """
        value = self._field(field)
        fault = _table_fault(value)
        if fault:
            raise BadRow(self.error(field, fault))
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        fault = text_fault(text, max_chars=max_chars)
        if fault:
            raise BadRow(self.error(field, fault))
        return text


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one row.

    Attributes:
      id: the row's id, also where it is refused.
      part: the list the row came from ("train", "test").
      example: the example, None if the row is refused.
      error: why it is refused, None if it is not.
      repairs: what was mended, one reason each.
    """

    id: str
    part: str
    example: Example | None
    error: RowError | None = None
    repairs: tuple[str, ...] = ()


def outcomes(records, to_example, *, part="", prefix=""):
    """Returns what becomes of each record under a data set's own reader.

    Args:
      records: `Record`s, in file order.
      to_example: function of (record, id) to (Example, reasons of its repairs); raises
        `BadRow` for a row it refuses.
      part: part of records that carry none themselves.
      prefix: begins the ids; empty takes the part.

    Returns:
      A list of `Outcome`s in the same order; ids are the prefix and the position.
    """
    result = []
    for record in records:
        name = record.part or part
        id = f"{prefix or name}-{record.index:06d}"
        try:
            record.check()
            example, repairs = to_example(record, id)
            result.append(Outcome(id, name, example, None, tuple(repairs)))
        except BadRow as bad:
            result.append(Outcome(id, name, None, bad.error))
    return result


def strip_newlines(example):
    """Returns an example without newlines at the ends of its texts, and the repairs.

    Args:
      example: an `Example`.

    Returns:
      (Example, list of reasons, empty if nothing was stripped).
    """
    utterance, code = example.utterance.strip("\r\n"), example.code.strip("\r\n")
    if (utterance, code) == (example.utterance, example.code):
        return example, []
    example = dataclasses.replace(example, utterance=utterance, code=code)
    return example, ["newline at the end of a text stripped"]


def text_fault(text, *, max_chars):
    """Returns why a text is refused, or "" if it is not.

    Args:
      text: any `str`.
      max_chars: the longest text that is accepted.

    Returns:
      A reason, or the empty string.
    """
    if not text.strip():
        return "the text is empty"
    if len(text) > max_chars:
        return f"{len(text)} characters; at most {max_chars} are accepted"
    if "\x00" in text:
        return f"NUL character at position {text.index(chr(0))}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"lone surrogate at position {error.start}; the text is not Unicode"
    return ""


def _table_fault(value):
    if not isinstance(value, list) or not value:
        return f"expected a list of rows with a header, got {_kind(value)}"
    for number, row in enumerate(value):
        if not isinstance(row, list):
            return f"row {number}: expected a list of cells, got {_kind(row)}"
        for cell in row:
            if isinstance(cell, list | dict):
                return f"row {number}: expected a plain cell, got {_kind(cell)}"
    return ""


def _kind(value):
    names = {type(None): "null", bool: "a boolean", str: "text", list: "a list"}
    names |= {dict: "an object", int: "a number", float: "a number"}
    name = names.get(type(value), type(value).__name__)
    return f"an empty {name[2:]}" if value in ([], {}) else name
