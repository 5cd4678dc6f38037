"""English requests, tables and Excel conditional-formatting rules.

The split of CodeFusion's authors; its test differs in kind from its train: 118 of 178
test rows are the FormaT5 set, and 114 test rules name a column, a form that no train
rule has (`GreaterThan(c[1], 5)`). The field `Labels` is not read: it is `[0]` in every
test row, so it says nothing of the cells that a rule formats.
"""

import dataclasses

from codefusion.data import readers, rows
from codefusion.data.builders import prose

SOURCES = (
    prose.source(
        "Benchmarks",
        "CFRuleBenchmarks.json",
        "27cecd3e855e929391f0327a551dabe73db018e30422d870df347d7dff71b2c3",
    ),
)


def read(files):
    """Returns the outcomes of the rows.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    data = files[SOURCES[0].path]
    records = readers.read_json(data, file="CFRuleBenchmarks.json")
    return rows.outcomes(records, _example)


def _example(record, id):
    example, repairs = prose.pair(record, id)
    return dataclasses.replace(example, table=record.table("Data")), repairs
