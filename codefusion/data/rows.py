"""Rows as they come from files: read strictly, checked field by field.

Nothing here mends or guesses. A row that cannot be used becomes a `RowError` with its
file, line, field and reason; a file that cannot be split into rows at all raises a
`ValueError` with the same four facts. What to do with a bad row (refuse it, or set it
aside and count it) is the choice of the data set that reads the file.
"""

import dataclasses
import gzip
import json
import math
import zlib

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


def unzip(data, *, file):
    """Returns the content of a file that may be gzip-compressed.

    Args:
      data: the bytes as stored.
      file: name for the error.

    Returns:
      The uncompressed bytes.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        reason = f"truncated or damaged gzip data ({error}); fetch the file again"
        raise ValueError(str(RowError(file, 1, "", reason))) from error


def read_json(data, *, file):
    """Yields the rows of a JSON list, or of a JSON object of named lists.

    Args:
      data: content of the file, bytes.
      file: name for errors.

    Yields:
      A `Record` per row; its `line` is where the row begins.
    """
    text = _decode_file(data, file)
    scanner = _Scanner(text, file)
    if scanner.peek() == "[":
        yield from scanner.rows("")
    else:
        yield from scanner.named_lists()
    scanner.end()


def read_jsonl(data, *, file):
    """Yields the rows of a file with one JSON object a line; empty lines are skipped.

    Args:
      data: content of the file, bytes.
      file: name for errors.

    Yields:
      A `Record` per line that is not empty.
    """
    for record in read_lines(data, file=file):
        if record.fault:
            yield record
            continue
        try:
            value, faults = _parse(record.value.strip())
        except (ValueError, RecursionError) as error:
            fault = f"not JSON: {_json_reason(error)}"
            yield dataclasses.replace(record, value=None, fault=fault)
            continue
        yield dataclasses.replace(record, value=value, fault="; ".join(faults))


def read_lines(data, *, file):
    """Yields the lines of a text file; lines of white space alone are skipped.

    Args:
      data: content of the file, bytes.
      file: name for errors.

    Yields:
      A `Record` per line that is not empty, its value the line without its end.
    """
    index = 0
    for line, raw in enumerate(data.split(b"\n"), start=1):
        try:
            text, fault = raw.decode("utf-8"), ""
            if not text.strip():
                continue
        except UnicodeDecodeError as error:
            text, fault = None, f"not UTF-8: bad byte at column {error.start + 1}"
        if line == 1 and raw.startswith(b"\xef\xbb\xbf"):
            fault = "the file begins with a byte order mark; save it without one"
        yield Record(file, line, "", index, text, fault)
        index += 1


class _Scanner:
    """Walks a JSON document row by row, so that each row's line is known."""

    def __init__(self, text, file):
        self.text, self.file = text, file
        self.at, self.line, self.counted = 0, 1, 0

    def peek(self):
        """Returns the next character that is not white space; "" at the end."""
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1
        return self.text[self.at : self.at + 1]

    def current_line(self):
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.line

    def fail(self, reason):
        raise ValueError(str(RowError(self.file, self.current_line(), "", reason)))

    def expect(self, characters):
        found = self.peek()
        if not found or found not in characters:
            wanted = " or ".join(repr(c) for c in characters)
            self.fail(f"not JSON: expected {wanted}, got {found or 'the end'!r}")
        self.at += 1
        return found

    def value(self):
        self.peek()
        try:
            value, end, faults = _parse_at(self.text, self.at)
        except (ValueError, RecursionError) as error:
            self.fail(f"not JSON: {_json_reason(error)}")
        self.at = end
        return value, faults

    def rows(self, part):
        """Yields a `Record` for each element of the list that begins here."""
        self.expect("[")
        if self.peek() == "]":
            self.at += 1
            return
        index = 0
        while index == 0 or self.expect(",]") == ",":
            self.peek()
            line = self.current_line()
            value, faults = self.value()
            yield Record(self.file, line, part, index, value, "; ".join(faults))
            index += 1

    def named_lists(self):
        """Yields the rows of each list of the object that begins here."""
        self.expect("{")
        seen = set()
        while not seen or self.expect(",}") == ",":
            name, _ = self.value()
            if not isinstance(name, str) or name in seen:
                self.fail(f"{name!r} is no new name of a list of rows")
            seen.add(name)
            self.expect(":")
            yield from self.rows(name)

    def end(self):
        if self.peek():
            self.fail("not JSON: text after the end of the document")


def _parse_at(text, at):
    """Returns (value, end, faults) of the JSON value that begins at `at`."""
    faults = []

    def pairs(items):
        result = dict(items)
        if len(result) != len(items):
            keys = [key for key, _ in items]
            twice = sorted({key for key in keys if keys.count(key) > 1})
            faults.append(f"duplicate key {twice[0]!r}")
        return result

    def constant(name):
        faults.append(f"{name} is not JSON")

    def number(digits):
        value = float(digits)
        if not math.isfinite(value):
            faults.append(f"number {digits[:20]} is out of range")
        return value

    decoder = json.JSONDecoder(
        object_pairs_hook=pairs, parse_constant=constant, parse_float=number
    )
    value, end = decoder.raw_decode(text, at)
    return value, end, faults


def _parse(text):
    value, end, faults = _parse_at(text, 0)
    if end != len(text):
        raise ValueError(f"text after the value at column {end + 1}")
    return value, faults


def _json_reason(error):
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return str(error)


def _decode_file(data, file):
    if data.startswith(b"\xef\xbb\xbf"):
        reason = "the file begins with a byte order mark; save it without one"
        raise ValueError(str(RowError(file, 1, "", reason)))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"not UTF-8: bad byte at offset {error.start}"
        raise ValueError(str(RowError(file, line, "", reason))) from error


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
