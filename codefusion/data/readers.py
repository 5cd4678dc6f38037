"""Files to rows: JSON, JSON lines and text, read strictly.

A fault inside one row is that row's `fault` and leaves the others alone; a file that
cannot be split into rows at all raises a `ValueError` with file, line and reason. The
JSON of the benchmarks is one long line, so rows are decoded one by one and know the
line on which they begin.
"""

import dataclasses
import gzip
import json
import math
import zlib

from codefusion.data import rows

_SPACE = " \t\r\n"
# Python itself refuses to read an integer of more digits than 4,300.
_MAX_DIGITS = 4_000


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
        raise ValueError(str(rows.RowError(file, 1, "", reason))) from error


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
            value, faults = _parse(record.value.strip(_SPACE))
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
        yield rows.Record(file, line, "", index, text, fault)
        index += 1


class _Scanner:
    """Walks a JSON document row by row, so that each row's line is known."""

    def __init__(self, text, file):
        self.text, self.file = text, file
        self.at, self.line, self.counted = 0, 1, 0

    def peek(self):
        """Returns the next character that is not white space; "" at the end."""
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1
        return self.text[self.at : self.at + 1]

    def current_line(self):
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.line

    def fail(self, reason):
        raise ValueError(str(rows.RowError(self.file, self.current_line(), "", reason)))

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
            self.at = getattr(error, "pos", self.at)
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
            yield rows.Record(self.file, line, part, index, value, "; ".join(faults))
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

    def integer(digits):
        if len(digits) > _MAX_DIGITS:
            faults.append(f"integer of {len(digits)} digits")
            return 0
        return int(digits)

    decoder = json.JSONDecoder(
        object_pairs_hook=pairs,
        parse_constant=constant,
        parse_float=number,
        parse_int=integer,
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
        raise ValueError(str(rows.RowError(file, 1, "", reason)))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"not UTF-8: bad byte at offset {error.start}"
        raise ValueError(str(rows.RowError(file, line, "", reason))) from error
