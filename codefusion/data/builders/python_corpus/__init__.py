"""Python code without requests, for pre-training; the authors' is not to be had.

- The snippets of CoNaLa 1.1 (CC BY-SA 4.0). All are prepared; the data set leaves out
  those of the validation and test splits of `conala` under the chosen scheme.
- Lines of Django (Oda et al., ASE 2015; BSD-3-Clause), with the spaces that the data
  set put between tokens taken out again.
- Calls from the Python documentation (Xu et al., ACL 2020; Apache-2.0, PSF License).
- Programs of MBPP (Austin et al., 2021; CC BY 4.0), without its test part, 11 to 510.
"""

from codefusion.data import readers, rows
from codefusion.data.builders import conala, python_text

SOURCES = (
    conala.TRAIN,
    conala.TEST,
    python_text.DJANGO,
    python_text.APIDOCS,
    python_text.MBPP,
)


def read(files):
    """Returns the outcomes of the programs.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    data = [files[source.path] for source in SOURCES]
    train = readers.read_json(data[0], file=conala.TRAIN.path)
    test = readers.read_json(data[1], file=conala.TEST.path)
    django = readers.read_lines(data[2], file=python_text.DJANGO.path)
    apidocs = readers.read_jsonl(data[3], file=python_text.APIDOCS.path)
    parts = {
        "conala-train": (train, _field("snippet")),
        "conala-test": (test, _field("snippet")),
        "django": (django, _django),
        "apidocs": (apidocs, _field("snippet")),
        "mbpp": (python_text.mbpp(data[4]), _field("code")),
    }
    result = []
    for prefix, (records, to_example) in parts.items():
        result += rows.outcomes(records, to_example, part="train", prefix=prefix)
    return result


def _django(record, id):
    return python_text.from_line(id, "", record.line_text())


def _field(name):
    """Returns a reader of rows whose program is the field `name`."""
    return lambda record, id: python_text.from_text(id, "", record.text(name))
