"""Files and row format of the benchmarks released with CodeFusion (EMNLP 2023)."""

import pathlib

from codefusion.data import readers, rows
from codefusion.data.builders import sources

_REPOSITORY = "microsoft/prose-benchmarks"
_COMMIT = "2d1eeeae2f4248082cee1460676f83d97e493c13"


def source(folder, file, sha256):
    """Returns the `Source` of a released file.

    Args:
      folder: "Benchmarks" or "Pretraining Data".
      file: name of the file.
      sha256: of its content, hex.
    """
    return sources.github(
        _REPOSITORY,
        _COMMIT,
        f"CodeFusion/{folder}/{file}",
        path=f"codefusion-prose/{file}",
        sha256=sha256,
    )


def pair(record, id):
    """Returns (Example, repairs) of a row with a request and a program."""
    utterance, code = record.text("NL Utterance"), record.text("Code")
    return rows.strip_newlines(rows.Example(id, utterance, code))


def lines(source, files):
    """Returns the outcomes of a file with one program a line."""
    file = pathlib.PurePosixPath(source.path).name
    records = readers.read_lines(files[source.path], file=file)
    return rows.outcomes(records, line, part="train")


def line(record, id):
    """Returns (Example, repairs) of a line of code."""
    return rows.strip_newlines(rows.Example(id, "", record.line_text()))
