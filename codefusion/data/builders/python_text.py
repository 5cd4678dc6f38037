"""Files of Python that several data sets are made of, and how their rows are cleaned.

- Lines of Django (Oda et al., ASE 2015; BSD-3-Clause), with the spaces that the data
  set put between tokens taken out again.
- Calls from the Python documentation (Xu et al., ACL 2020; Apache-2.0, PSF License).
- Programs of MBPP (Austin et al., 2021; CC BY 4.0), without its test part, 11 to 510.
"""

import dataclasses

from codefusion.data import readers, rows
from codefusion.data.builders import sources, spacing

_MBPP_TEST = range(11, 511)
_DJANGO = ("odashi/ase15-django-dataset", "c37fa281ced0de16aa7868415522905f8380686e")

DJANGO = sources.github(
    *_DJANGO,
    "django/all.code",
    path="django/all.code",
    sha256="d20b345fd3cdcf8d54b9cd123b3de4078f8f9a3c6bfc9fed9cd215bc857f99db",
)
DJANGO_TEXT = sources.github(
    *_DJANGO,
    "django/all.anno",
    path="django/all.anno",
    sha256="86b38c7bf6ffe2882d4603f799e92f48ddaab8a7d9b2af41bba923e59b41800a",
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


def mbpp(data):
    """Yields the `Record`s of MBPP that are not of its test part.

    Args:
      data: content of `MBPP`, bytes.
    """
    for record in readers.read_jsonl(data, file=MBPP.path):
        known = isinstance(record.value, dict) and "task_id" in record.value
        if not known or record.value["task_id"] not in _MBPP_TEST:
            yield record


def from_line(id, utterance, line):
    """Returns (Example, repairs) of a line of `DJANGO`.

    Args:
      id: of the row.
      utterance: what the line does, or "".
      line: tokens with spaces between them.
    """
    example = rows.Example(id, utterance, spacing.join(line))
    return example, ["spaces between tokens taken out"]


def from_text(id, utterance, code):
    """Returns (Example, repairs) of a program with LF ends and no space before them.

    Args:
      id: of the row.
      utterance: what the program does, or "".
      code: the program as it stands in the file.
    """
    plain = code.replace("\r\n", "\n")
    example, repairs = rows.strip_newlines(rows.Example(id, utterance, plain))
    lines = [line.rstrip() for line in example.code.split("\n")]
    tidy = dataclasses.replace(example, code="\n".join(lines))
    if plain != code:
        repairs.append("CRLF turned to LF")
    if tidy != example:
        repairs.append("white space at line ends stripped")
    return tidy, repairs
