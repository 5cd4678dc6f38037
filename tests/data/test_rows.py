"""Rows: what becomes of each record, and what is mended is said."""

import json

import pytest

from codefusion.data import rows


def outcome_of(value, to_example):
    record = rows.Record("f", 3, "train", 7, value)
    (outcome,) = rows.outcomes([record], to_example)
    return outcome


def code_only(record, id):
    return rows.strip_newlines(rows.Example(id, "", record.text("code")))


def test_an_outcome_has_an_id_of_part_and_position():
    outcome = outcome_of({"code": "ls"}, code_only)
    assert outcome.id == outcome.example.id == "train-000007"
    assert (outcome.part, outcome.error, outcome.repairs) == ("train", None, ())


def test_a_refused_row_keeps_its_id_and_names_its_place():
    outcome = outcome_of({}, code_only)
    assert outcome.id == "train-000007" and outcome.example is None
    assert str(outcome.error) == "f:3: train[7].code: the field is missing"


def test_stripped_newlines_are_a_repair_and_inner_ones_stay():
    outcome = outcome_of({"code": "a\n\tb \n\r\n"}, code_only)
    assert outcome.example.code == "a\n\tb "
    assert outcome.repairs == ("newline at the end of a text stripped",)


def test_null_is_text_only_where_it_may_be():
    record = rows.Record("f", 1, "", 0, {"code": None})
    assert record.text("code", nullable=True) is None
    with pytest.raises(rows.BadRow, match="f:1: code: expected text, got null"):
        record.text("code")


def test_a_table_comes_back_as_the_same_json():
    table = [["é", "b"], [1, None], [2.5, True]]
    record = rows.Record("f", 1, "", 0, {"table": table})
    assert json.loads(record.table("table")) == table


@pytest.mark.parametrize("size", [1, 10, 11])
def test_the_longest_accepted_text_is_max_chars(size):
    fault = rows.text_fault("x" * size, max_chars=10)
    assert bool(fault) == (size > 10)


def test_a_bad_row_is_a_value_error_with_its_row_error():
    error = rows.RowError("f", 2, "code", "is bad")
    assert rows.BadRow(error).error is error
    assert isinstance(rows.BadRow(error), ValueError)
