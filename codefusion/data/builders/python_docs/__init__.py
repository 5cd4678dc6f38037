"""Sentences and Python, to train on beside a benchmark: three sources of documentation.

- Calls and what the Python documentation says of them (Xu et al., ACL 2020; Apache-2.0,
  the sentences PSF License).
- Lines of Django and what each does (Oda et al., ASE 2015; MIT-style, the code
  BSD-3-Clause). A line such as `if x:` stands alone and does not parse; it is kept.
- Tasks and programs of MBPP (Austin et al., 2021; CC BY 4.0), without its test part, 11
  to 510.

The programs are those of `python_corpus`, cleaned alike.
"""

from codefusion.data import readers, rows
from codefusion.data.builders import python_text
from codefusion.data.builders.python_text import APIDOCS, DJANGO, DJANGO_TEXT, MBPP

SOURCES = (DJANGO_TEXT, DJANGO, APIDOCS, MBPP)
_EMPTY = "the text is empty"


def read(files):
    """Returns the outcomes of the rows.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    apidocs = readers.read_jsonl(files[APIDOCS.path], file=APIDOCS.path)
    parts = {
        "django": (_aligned(files), _django),
        "apidocs": (apidocs, _fields("intent", "snippet")),
        "mbpp": (python_text.mbpp(files[MBPP.path]), _fields("text", "code")),
    }
    result = []
    for prefix, (records, to_example) in parts.items():
        result += rows.outcomes(records, to_example, part="train", prefix=prefix)
    return result


def _aligned(files):
    """Yields a `Record` for each line that has a text or code: its value is both."""
    texts, codes = (
        {r.line: r for r in readers.read_lines(files[s.path], file=s.path)}
        for s in (DJANGO_TEXT, DJANGO)
    )
    for index, line in enumerate(sorted({*texts, *codes})):
        pair = [
            found.get(line) or rows.Record(s.path, line, "", index, fault=_EMPTY)
            for s, found in ((DJANGO_TEXT, texts), (DJANGO, codes))
        ]
        yield rows.Record(DJANGO.path, line, "", index, pair)


def _django(record, id):
    text, code = (line.line_text() for line in record.value)
    return python_text.from_line(id, text.strip(), code)


def _fields(text, code):
    """Returns a reader of rows with a sentence and a program in these fields."""
    return lambda record, id: python_text.from_text(
        id, record.text(text).strip(), record.text(code)
    )
