import gzip
import json

import pytest

from codefusion.data import cf_interpreter, cf_language

TABLE = [
    ["Name", "Amount", "Due"],
    ["Alice", 5, "2022-12-06"],
    ["bob", "12", "2022-11-21"],
    ["Carol White", 7.5, "2022-11-02"],
    ["", "", ""],
    ["alice", "#N/A", "2021-11-30"],
    ["Dave", 12, "soon"],
    [3, -4, None],
]


def rows(rule, column=None):
    found = cf_interpreter.run(rule, TABLE)
    return sorted(row for row, c in found if column is None or c == column)


@pytest.mark.parametrize(
    "rule, expected",
    [
        ("GreaterThan(c[1], 7.5)", [1, 5]),
        ("GreaterThanEqual(c[1], 7.5)", [1, 2, 5]),
        ("LessThan(c[1], 5)", [6]),
        ("LessThanEqual(c[1], 5)", [0, 6]),
        ("Between(c[1], 5, 7.5)", [0, 2]),
        ("Between(c[1], 7.5, 5)", [0, 2]),
        ("Equals(c[1], 12)", [1, 5]),
        ("NotEquals(c[1], 12)", [0, 2, 3, 6]),
        ("TextEquals(c[0], ALICE)", [0, 4]),
        ("TextEquals(c[1], 12)", [1, 5]),
        ("TextContains(c[0], li)", [0, 4]),
        ("TextStartsWith(c[0], carol)", [2]),
        ("EndsWith(c[0], e)", [0, 2, 4, 5]),
        ("NOT(TextEquals(c[0], alice))", [1, 2, 3, 5, 6]),
        ("Blanks(c[0])", [3]),
        ("NOT(Blanks(c[1]))", [0, 1, 2, 5, 6]),
        ("Errors(c[1])", [4]),
        ("NOT(Errors(c[1]))", [0, 1, 2, 3, 5, 6]),
        ("Duplicates(c[0])", [0, 4]),
        ("Duplicates(c[1])", [1, 5]),
        ("Top(c[1], 1)", [1, 5]),
        ("Top(c[1], 3)", [1, 2, 5]),
        ("Bottom(c[1])", [6]),
        ("Bottom(c[1], 99)", [0, 1, 2, 5, 6]),
        ("TopPercent(c[1], 1)", [1, 5]),
        ("BottomPercent(c[1], 40)", [0, 6]),
        ("AboveAverage(c[1])", [1, 2, 5]),
        ("BelowAverage(c[1])", [0, 6]),
        ("LastMonth(c[2])", [1, 2]),
        ("ColorScale(c[1])", [0, 1, 2, 5, 6]),
        ("GreaterThan(LEN(c[0]), 4)", [0, 2, 4]),
        ("AND(GreaterThan(c[1], 0), NOT(TextEquals(c[0], bob)))", [0, 2, 5]),
        ("OR(LessThan(c[1], 0), Errors(c[1]))", [4, 6]),
        ("NOT(AND(GreaterThan(c[1], 6), LessThan(c[1], 8)))", [0, 1, 3, 5, 6]),
    ],
)
def test_each_function_formats_the_rows_a_spreadsheet_user_means(rule, expected):
    assert sorted({row for row, _ in cf_interpreter.run(rule, TABLE)}) == expected


def test_a_rule_without_a_column_treats_each_column_on_its_own():
    assert cf_interpreter.run("top(1)", [["A", "B"], [1, 10], [2, 30]]) == {
        (1, 0),
        (1, 1),
    }
    assert cf_interpreter.run("Duplicate()", [["A", "B"], [1, 1], [2, 3]]) == set()


def test_conditions_on_several_columns_format_those_columns_of_a_row():
    rule = "AND(GreaterThan(c[1], 4), TextStartsWith(c[0], a))"
    assert cf_interpreter.run(rule, TABLE) == {(0, 0), (0, 1)}


def test_a_column_is_compared_with_another_row_by_row():
    table = [["A", "B"], [1, 2], [3, 2], ["6/01/2020", "24/01/2020"], ["x", 4]]
    assert cf_interpreter.run("GreaterThan(c[1], c[0])", table) == {(0, 1), (2, 1)}


def test_quantities_compare_only_with_the_same_unit():
    table = [["Time"], ["14 Days"], ["3 days"], ["20 Hours"], [99]]
    assert cf_interpreter.run("GreaterThan(13 Days)", table) == {(0, 0)}


@pytest.mark.parametrize(
    "cell, number",
    [
        ("1,200", 1200),
        ("$5.50", 5.5),
        ("-12", -12),
        ("26%", 0.26),
        ("1e3", 1000),
        (" 7 ", 7),
    ],
)
def test_text_that_reads_as_a_number_is_one(cell, number):
    assert cf_interpreter.run(f"Equals({number})", [["A"], [cell]]) == {(0, 0)}


@pytest.mark.parametrize("cell", ["1,20", "12a", "--3", "", None, "TRUE", True, "٣"])
def test_other_text_meets_no_numeric_condition(cell):
    rule = "OR(GreaterThan(-1000000), LessThanEqual(-1000000))"
    assert cf_interpreter.run(rule, [["A"], [cell]]) == set()


def test_a_table_may_be_json_ragged_or_empty():
    assert cf_interpreter.run("GreaterThan(1)", '[["A", "B"], [2], [0, 3]]') == {
        (0, 0),
        (1, 1),
    }
    assert cf_interpreter.run("GreaterThan(1)", "") == set()


def test_what_a_table_cannot_answer_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"names column c\[3\].*3 columns"):
        cf_interpreter.run("Blanks(c[3])", TABLE)
    with pytest.raises(ValueError, match=r"refers to \$D\$9; expected constants"):
        cf_interpreter.run("TextEquals($D$9)", TABLE)


def test_visual_rules_differ_in_effect_alone():
    names = ("ColorScale", "DataBar", "IconSet")
    trees = [cf_language.parse(f"{name}()") for name in names]
    assert len({cf_interpreter.effect(tree) for tree in trees}) == 3
    assert len({frozenset(cf_interpreter.run(tree, TABLE)) for tree in trees}) == 1
    assert cf_interpreter.effect(cf_language.parse("top(3)")) == "fill"


def test_every_released_rule_runs_unless_it_has_an_address_needs_data(data_dir):
    path = data_dir / "codefusion-prose" / "CFRuleBenchmarks.json.gz"
    data = json.loads(gzip.decompress(path.read_bytes()))
    refused = []
    for row in data["train"] + data["test"]:
        if cf_language.is_valid(row["Code"]):
            try:
                cf_interpreter.run(row["Code"], row["Data"])
            except ValueError as error:
                refused.append(str(error))
    assert sum("refers to" in reason for reason in refused) == 7
    assert sum("names column" in reason for reason in refused) == 1
    assert len(refused) == 8
