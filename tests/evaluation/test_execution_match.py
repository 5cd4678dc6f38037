import dataclasses
import gzip
import json

import pytest

from codefusion.data import cf_language
from codefusion.data.builders import generated
from codefusion.data.builders.generated import values
from codefusion.data.cf_language import Call, Number, Text
from codefusion.evaluation.metrics.execution_match import (
    ExecutionMatch,
    execution_match,
)

HEADER = [["Index", "Value"]]
CHANGES = (
    lambda text: text[:-1],
    lambda text: text[1:],
    lambda text: text + "e",
    lambda text: "z" + text,
    lambda text: text[::-1] + "x",
)
STEPS = (-1, 1, 9, -9)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "column"])
def examples(request):
    kinds = [
        (name, split)
        for name, kind in generated.KINDS.items()
        for split in generated.SPLITS
        if kind.constants or split == "train"
    ]
    return [
        generated.generate(
            11, index, split, column_argument=request.param, kinds=[name]
        )
        for name, split in kinds
        for index in range(8)
    ]


def swapped(tree):
    """Yields the tree with one constant changed, for each constant and change."""
    for place, argument in enumerate(tree.arguments):
        if isinstance(argument, Call):
            others = swapped(argument)
        elif isinstance(argument, Text):
            others = (Text(change(argument.value).strip()) for change in CHANGES)
        elif isinstance(argument, Number):
            others = (Number(moved(argument.value, step)) for step in STEPS)
        else:
            others = ()
        for other in others:
            arguments = list(tree.arguments)
            arguments[place] = other
            yield dataclasses.replace(tree, arguments=tuple(arguments))


def moved(number, step):
    text = str(number).removesuffix(".0")
    unit = 10.0 ** -len(text.partition(".")[2])
    return round(number + step * unit, 4)


def test_a_rule_matches_itself_and_only_its_spelling_may_differ(examples):
    for example in examples:
        assert execution_match(example.code, example.code, example.table)
        tree = cf_language.parse(example.code)
        for same in (cf_language.to_text(tree), example.code.replace(", ", " ,  ")):
            assert execution_match(example.code, same, example.table), same


def test_letter_case_of_names_and_texts_does_not_matter(examples):
    for example in examples:
        for same in (example.code.swapcase(), example.code.lower()):
            assert execution_match(example.code, same, example.table), same


def test_every_changed_constant_is_noticed_on_the_examples_own_table(examples):
    for example in examples:
        for other in swapped(cf_language.parse(example.code)):
            text = cf_language.to_text(other)
            assert not execution_match(example.code, text, example.table), (
                example,
                text,
            )


def test_another_function_with_the_same_constant_is_noticed(examples):
    pairs = (
        ("GreaterThan(", "GreaterThanEqual("),
        ("LessThan(", "LessThanEqual("),
        ("TextEquals(", "TextContains("),
        ("TextStartsWith(", "TextContains("),
        ("StartsWith(", "Contains("),
        ("EndsWith(", "Contains("),
        ("top(", "bottom("),
        ("aboveAverage(", "belowAverage("),
        ("AND(", "OR("),
        ("ColorScale(", "DataBar("),
        ("Duplicate(", "Blanks("),
    )
    for example in examples:
        for one, other in pairs:
            if one in example.code:
                changed = example.code.replace(one, other)
                assert not execution_match(example.code, changed, example.table), (
                    example,
                    changed,
                )


def test_a_lost_negation_is_noticed(examples):
    for example in examples:
        negated = f"NOT({example.code})"
        assert not execution_match(example.code, negated, example.table)
        if cf_language.is_valid(negated):
            again = f"NOT({negated})"
            assert execution_match(example.code, again, example.table)


@pytest.mark.parametrize(
    "gold, same",
    [
        ("Between(5, 10)", "AND(GreaterThanEqual(5), LessThanEqual(10))"),
        ("Between(10, 5)", "Between(5, 10)"),
        ("NOT(Between(5, 10))", "NotBetween(5,10)"),
        ("OR(TextEquals(a), TextEquals(b))", "OR(TextEquals(b), TextEquals(a))"),
        ("GreaterThanEqual(3)", "GreaterThanEquals(3.0)"),
        ("TextEquals(Yes)", 'textequals("YES")'),
        ("top(10%)", "TopPercent(10)"),
        ("NOT(Blanks())", "NOT(Blank())"),
        ("TextEquals(165)", "Equals(165)"),
        ("Equals(c[2], 0)", "NOT(NotEquals(c[2], 0))"),
    ],
)
def test_equal_rules_match_on_probe_cells_too(gold, same):
    assert execution_match(gold, same, HEADER)
    assert execution_match(gold, same, "")


@pytest.mark.parametrize(
    "gold, other",
    [
        ("GreaterThan(900)", "GreaterThan(901)"),
        ("GreaterThan(0.8)", "GreaterThan(0.81)"),
        ("LessThan(5)", "LessThanEqual(5)"),
        ("Between(0.9, 1)", "Between(0.9, 2)"),
        ("top(10)", "top(11)"),
        ("top(10)", "top(10%)"),
        ("bottom(1)", "bottom(2)"),
        ("top(1)", "top(1%)"),
        ("aboveAverage()", "belowAverage()"),
        ("Duplicate()", "NOT(Blanks())"),
        ("TextContains(Yes)", "TextContains(Ye)"),
        ("TextContains(Yes)", "TextEquals(Yes)"),
        ("TextStartsWith(A)", "TextContains(A)"),
        ("TextEquals(Current assets)", "TextEquals(Current asset)"),
        ("AND(TextStartsWith(A), EndsWith(X))", "OR(TextStartsWith(A), EndsWith(X))"),
        ("AND(TextStartsWith(A), EndsWith(X))", "AND(TextStartsWith(A), EndsWith(Y))"),
        ("Blanks()", "Errors()"),
        ("OR(LessThan(0), Blanks())", "LessThan(0)"),
        ("GreaterThan(13 Days)", "GreaterThan(31 Days)"),
        ("GreaterThan(c[2], 0)", "GreaterThan(c[1], 0)"),
        ("GreaterThan(c[1], 0)", "GreaterThan(0)"),
        (
            "AND(GreaterThan(c[2], 0), TextEquals(c[3], 'Worldwide'))",
            "AND(GreaterThan(c[2], 1), TextEquals(c[3], 'Worldwide'))",
        ),
        ("ColorScale()", "IconSet()"),
        ("TextEquals($D$9)", "TextEquals($D$8)"),
        ("LastMonth()", "Blanks()"),
        ("GreaterThan(LEN(c[0]), 6)", "GreaterThan(c[0], 6)"),
    ],
)
def test_different_rules_differ_on_probe_cells(gold, other):
    assert not execution_match(gold, other, HEADER)
    assert not execution_match(other, gold, HEADER)


def test_a_table_on_which_the_gold_rule_formats_nothing_is_not_enough():
    table = [["Value"], [1], [2]]
    assert not execution_match("GreaterThan(50)", "GreaterThan(500)", table)
    assert not execution_match("GreaterThan(0)", "LessThan(9)", table)
    assert execution_match("GreaterThan(1)", "GreaterThan(1.5)", table)


@pytest.mark.parametrize("bad", ["", "Highlight", "GreaterThan(", "AND()", "foo(3)"])
def test_what_is_no_rule_matches_no_rule(bad):
    assert not execution_match("GreaterThan(3)", bad, HEADER)


def test_a_gold_that_is_no_rule_is_compared_as_text():
    assert execution_match("$A2=$A3", "$a2 = $a3", HEADER)
    assert not execution_match("$A2=$A3", "Duplicates()", HEADER)


def test_the_metric_scores_one_or_zero():
    metric, example = ExecutionMatch(), generated.generate(0, 3)
    assert metric.score(example.code.lower(), example) == 1.0
    assert metric.score("LessThan(3", example) == 0.0
    assert metric.languages == ("cf",) and metric.name == "execution_match"


def test_released_rules_match_themselves_and_seldom_each_other_needs_data(data_dir):
    path = data_dir / "codefusion-prose" / "CFRuleBenchmarks.json.gz"
    data = json.loads(gzip.decompress(path.read_bytes()))
    rows = data["train"] + data["test"]
    chance = 0
    for row, other in zip(rows, rows[7:] + rows[:7], strict=True):
        assert execution_match(row["Code"], row["Code"], row["Data"])
        match = execution_match(row["Code"], other["Code"], row["Data"])
        chance += match and row["Code"].lower() != other["Code"].lower()
    assert chance < len(rows) * 0.02


def test_generated_values_have_neighbours():
    number = values.Number("2.05", 0.01)
    assert (number.shifted(-1), number.shifted(1)) == (2.04, 2.06)
