"""Execution match: whether two rules format the same cells in the same way.

Both rules run on the row's table. Where that says little, because the table is only a
header, lacks a column that the gold rule names, or the gold rule formats none or all of
its cells, they must agree on probe cells made from the constants of both rules too.
A gold rule that is no rule (8 of the 890 released rows) is compared as text, without
regard to case and spaces.
"""

import dataclasses
from typing import ClassVar

from codefusion.data import cf_interpreter, cf_language, cf_probes


@dataclasses.dataclass(frozen=True)
class ExecutionMatch:
    """1 if the predicted rule formats what the gold rule does, else 0."""

    name: ClassVar[str] = "execution_match"
    languages: ClassVar[tuple[str, ...] | None] = ("cf",)

    def score(self, prediction, example):
        """Returns 1.0 for a match and 0.0 otherwise.

        Args:
          prediction: str, a rule.
          example: Example with the gold rule and its table.
        """
        return float(execution_match(example.code, prediction, example.table))


def execution_match(gold, predicted, table=""):
    """Returns whether two rules format the same cells with the same effect, bool.

    Args:
      gold: str, the reference rule.
      predicted: str, the rule to judge.
      table: list of rows with a header, JSON of it, or "" for none.
    """
    gold_tree, tree = _tree(gold), _tree(predicted)
    if gold_tree is None:
        return _squeezed(gold) == _squeezed(predicted)
    if gold_tree == tree:
        return True
    effect = cf_interpreter.effect
    if tree is None or effect(tree) != effect(gold_tree):
        return False
    try:
        tables = _tables(gold_tree, tree, cf_interpreter.read_table(table))
        return all(_agree(gold_tree, tree, table) for table in tables)
    except ValueError:  # an address, or a column that the table does not have
        return False


def _tree(text):
    try:
        return cf_language.parse(text)
    except ValueError:
        return None


def _squeezed(text):
    return "".join(text.split()).casefold()


def _agree(gold, predicted, table):
    run = cf_interpreter.run
    return run(gold, table) == run(predicted, table)


def _tables(gold, predicted, table):
    """Yields the tables on which both rules must agree."""
    width = max(map(len, table), default=1)
    wanted = cf_interpreter.least_width(gold)
    if len(table) > 1 and wanted <= width:
        yield table
        cells = len(cf_interpreter.focus(gold, width)) * (len(table) - 1)
        if 0 < len(cf_interpreter.run(gold, table)) < cells:
            return
    width = max(width, wanted, cf_interpreter.least_width(predicted))
    yield from cf_probes.probe_tables((gold, predicted), width=width)
