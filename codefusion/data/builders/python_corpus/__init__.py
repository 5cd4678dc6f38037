"""Python code without requests, for pre-training; the authors' is not to be had.

- The snippets of CoNaLa 1.1 (CC BY-SA 4.0). All are prepared; the data set leaves out
  those of the validation and test splits of `conala` under the chosen scheme.
- Lines of Django (Oda et al., ASE 2015; BSD-3-Clause), with the spaces that the data
  set put between tokens taken out again.
- Calls from the Python documentation (Xu et al., ACL 2020; Apache-2.0, PSF License).
- Programs of MBPP (Austin et al., 2021; CC BY 4.0), without its test part, 11 to 510.
"""

import dataclasses

from codefusion.data import readers, rows
from codefusion.data.builders import conala, sources
from codefusion.data.builders.python_corpus import spacing

_MBPP_TEST = range(11, 511)

DJANGO = sources.github(
    "odashi/ase15-django-dataset",
    "c37fa281ced0de16aa7868415522905f8380686e",
    "django/all.code",
    path="django/all.code",
    sha256="d20b345fd3cdcf8d54b9cd123b3de4078f8f9a3c6bfc9fed9cd215bc857f99db",
)
APIDOCS = sources.github(
    "neulab/external-knowledge-codegen",
    "7bd432f96a76bef861f8ef0320f98f2cf9a1759b",
    "apidocs/python-docs.jsonl",
    path="python-apidocs/python-docs.jsonl",
    sha256="4bfed2a5c1cdabd05ac69e00685cafc8db05b648d0bdb403dc4ca4119d0bc0e7",
)
MBPP = sources.github(
    "muitiiifruckt/ASE",
    "83fa3f7963561b898623e8ade6e017d448ddca98",
    "mbpp.jsonl",
    path="mbpp/mbpp.jsonl",
    sha256="ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
    unix_newlines=True,
)
SOURCES = (conala.TRAIN, conala.TEST, DJANGO, APIDOCS, MBPP)


def read(files):
    """Returns the outcomes of the programs.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    names = {
        "conala-train": (conala.TRAIN, readers.read_json, _field("snippet")),
        "conala-test": (conala.TEST, readers.read_json, _field("snippet")),
        "django": (DJANGO, readers.read_lines, _django),
        "apidocs": (APIDOCS, readers.read_jsonl, _field("snippet")),
        "mbpp": (MBPP, readers.read_jsonl, _field("code")),
    }
    result = []
    for prefix, (source, reader, to_example) in names.items():
        records = reader(files[source.path], file=source.path)
        if source is MBPP:
            records = (record for record in records if not _is_mbpp_test(record))
        result += rows.outcomes(records, to_example, part="train", prefix=prefix)
    return result


def _is_mbpp_test(record):
    known = isinstance(record.value, dict) and "task_id" in record.value
    return known and record.value["task_id"] in _MBPP_TEST


def _django(record, id):
    line = record.line_text()
    example = rows.Example(id, "", spacing.join(line))
    return example, ["spaces between tokens taken out"]


def _field(name):
    """Returns a reader of rows whose program is the field `name`."""

    def to_example(record, id):
        code = record.text(name)
        plain = code.replace("\r\n", "\n")
        example, repairs = rows.strip_newlines(rows.Example(id, "", plain))
        lines = [line.rstrip() for line in example.code.split("\n")]
        tidy = dataclasses.replace(example, code="\n".join(lines))
        if plain != code:
            repairs.append("CRLF turned to LF")
        if tidy != example:
            repairs.append("white space at line ends stripped")
        return tidy, repairs

    return to_example
