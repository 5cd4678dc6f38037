"""Requests and conditional-formatting rules from our own grammar, of any number.

`generate(seed, index)` needs no file, no network and no state: every example is a
pure function of its arguments, so a data set is a seed and a size. Rules take the
surface form of the released conditional-formatting benchmark (`GreaterThan(25)`,
`TextContains(Yes)`, `top(10%)`, `AND(TextStartsWith(A), EndsWith(B))`).

Splits differ in constants: a number or made-up word belongs to exactly one split and a
known word to one split per function (see `values.py`), so no rule of a held-out split
can be in training. Rules without any constant, such as `ColorScale()`, are therefore
in training only.
"""

import json
import random

from codefusion.data.builders.generated import render, scenes, vocabulary
from codefusion.data.builders.generated.grammar import KINDS
from codefusion.data.builders.generated.values import SPLITS
from codefusion.data.rows import Example

__all__ = ["KINDS", "SPLITS", "generate", "generate_kind"]

_NAMES = {
    split: tuple(n for n, k in KINDS.items() if k.constants or split == "train")
    for split in SPLITS
}
_WEIGHTS = {
    split: tuple(KINDS[name].weight for name in names)
    for split, names in _NAMES.items()
}


def generate(seed, index, split="train", *, column_argument=False, kinds=None):
    """Returns example number `index` of the endless data set that `seed` names.

    Args:
      seed: int.
      index: int, 0 or more; any order.
      split: "train", "validation" or "test".
      column_argument: bool, whether rules name their column, `GreaterThan(c[1], 25)`.
      kinds: sequence of names from `KINDS` to draw from; None for all of the split.

    Returns:
      Example with id "generated-<split>-<seed>-<index>" and a table of a header and
      data rows, of which the rule formats some cells and leaves others.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; expected one of {list(SPLITS)}.")
    rng = _rng(seed, index, split)
    if kinds is None:
        name = rng.choices(_NAMES[split], _WEIGHTS[split])[0]
    else:
        name = rng.choice(_usable(kinds, split))
    return _example(rng, name, seed, index, split, column_argument)


def generate_kind(seed, index, split="train", *, column_argument=False):
    """Returns the name of the kind that `generate` draws for the same arguments."""
    del column_argument  # it changes the spelling of a rule, not its kind
    rng = _rng(seed, index, split)
    return rng.choices(_NAMES[split], _WEIGHTS[split])[0]


def _rng(seed, index, split):
    seed = seed % (1 << 64)  # random.Random would take -1 and 1 for the same seed
    return random.Random((seed << 70) | (index << 2) | SPLITS.index(split))


def _usable(kinds, split):
    usable = tuple(name for name in kinds if name in _NAMES[split])
    if not usable:
        raise ValueError(
            f"kinds is {list(kinds)}; expected names from {list(_NAMES[split])} "
            f"for the split {split!r}."
        )
    return usable


def _example(rng, name, seed, index, split, column_argument):
    draft = KINDS[name].draw(rng, split)
    numeric = not isinstance(draft.cells[0], str)
    names = vocabulary.NUMBER_COLUMNS if numeric else vocabulary.TEXT_COLUMNS
    column = rng.choice(names)
    request = scenes.request(rng, draft.wording, column, name_column=column_argument)
    table, place = _table(rng, draft, column)
    if column_argument:
        code = render.with_column(draft.tree, place)
    else:
        code = render.plain(draft.tree)
    return Example(f"generated-{split}-{seed}-{index}", request, code, table)


def _table(rng, draft, column):
    cells = draft.cells
    rng.shuffle(cells)
    if rng.random() < 0.5:
        return _json([[column], *([cell] for cell in cells)]), 0
    if draft.text_label:
        labels = [rng.choice(vocabulary.KNOWN) for _ in cells]
        label_column = rng.choice(vocabulary.TEXT_COLUMNS)
    else:
        labels = range(1, len(cells) + 1)
        label_column = rng.choice(vocabulary.LABEL_COLUMNS)
    if rng.random() < 0.7:
        rows = [[label_column, column], *map(list, zip(labels, cells, strict=True))]
        return _json(rows), 1
    rows = [[column, label_column], *map(list, zip(cells, labels, strict=True))]
    return _json(rows), 0


def _json(rows):
    return json.dumps(rows, ensure_ascii=False)
