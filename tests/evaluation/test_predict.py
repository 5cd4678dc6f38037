"""A predictions file comes back as it was written, or says where it is wrong."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codefusion.evaluation import predict
from codefusion.evaluation.predict import read_predictions, write_predictions

ROW = {"id": "a", "candidates": ["ls", "pwd"], "log_probs": [-1.5, -2.0]}


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_comes_back_as_it_was_written(tmp_path, header, toy_rows):
    path = tmp_path / "deep" / "predictions.jsonl"
    write_predictions(path, header, toy_rows)
    found, rows = read_predictions(path)
    assert found == {"format": 1, **header}
    assert rows == toy_rows


@pytest.mark.parametrize("text", ["\ud800", "\u2028\n\r\0", "é", ""])
def test_any_candidate_survives(tmp_path, header, text):
    path = tmp_path / "p.jsonl"
    write_predictions(path, header, [ROW | {"candidates": [text, text]}])
    assert read_predictions(path)[1][0]["candidates"] == [text, text]


def test_a_log_probability_that_is_not_finite_is_null_and_reads_as_minus_infinity(
    tmp_path, header
):
    path = tmp_path / "p.jsonl"
    write_predictions(path, header, [ROW | {"log_probs": [-math.inf, math.nan]}])
    assert lines_of(path)[1]["log_probs"] == [None, None]
    assert read_predictions(path)[1][0]["log_probs"] == [-math.inf, -math.inf]


def test_nothing_of_the_benchmark_but_its_ids_is_written(tmp_path, header):
    path = tmp_path / "p.jsonl"
    write_predictions(path, header, [ROW | {"utterance": "secret", "code": "secret"}])
    assert set(lines_of(path)[1]) == {"id", "candidates", "log_probs"}


def test_a_failed_write_leaves_the_older_file(tmp_path, header):
    path = tmp_path / "p.jsonl"
    write_predictions(path, header, [ROW])
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_predictions(path, header, [ROW, ROW | {"candidates": "ls"}])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.jsonl"]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"id": 3}, ":2: id: is 3"),
        ({"candidates": []}, ":2: candidates: "),
        ({"candidates": ["a", 1]}, ":2: candidates: "),
        ({"log_probs": [-1.0]}, ":2: log_probs: 1 values for 2"),
        ({"log_probs": ["x", "y"]}, ":2: log_probs: "),
        ({"log_probs": [True, False]}, ":2: log_probs: "),
        ({"log_probs": None}, ":2: log_probs: "),
    ],
)
def test_a_bad_row_is_named_by_line_and_field(tmp_path, header, change, reason):
    path = tmp_path / "p.jsonl"
    lines = [{"format": 1, **header}, ROW | change]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=reason):
        read_predictions(path)


@pytest.mark.parametrize("key", sorted(predict.HEADER_FIELDS))
def test_a_header_without_a_field_is_refused_by_name(tmp_path, header, key):
    del header[key]
    with pytest.raises(ValueError, match=f"{key}: is None; expected"):
        write_predictions(tmp_path / "p.jsonl", header, [ROW])


def test_a_repeated_id_is_refused(tmp_path, header):
    write_predictions(tmp_path / "p.jsonl", header, [ROW, ROW])
    with pytest.raises(ValueError, match=":3: id: 'a' occurs twice"):
        read_predictions(tmp_path / "p.jsonl")


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "the file is empty"),
        ("{", ":1: not JSON"),
        ("[1]", ":1: expected a JSON object"),
        ('{"format": 9}', ":1: format: is 9; expected 1"),
        ("[" * 10**5, ":1: not JSON"),
    ],
)
def test_what_is_no_predictions_file_is_refused(tmp_path, text, reason):
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_predictions(path)


@given(st.integers(0, 50), st.integers(0, 60))
def test_chosen_rows_are_spread_over_the_split_in_order(size, max_rows):
    rows = predict.choose_rows(range(size), max_rows)
    assert rows == sorted(set(rows))
    assert len(rows) == (min(size, max_rows) if max_rows else size)
    gaps = [b - a for a, b in zip(rows, rows[1:], strict=False)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_fewer_than_no_rows_is_refused():
    with pytest.raises(ValueError, match="evaluation.max_rows is -1"):
        predict.choose_rows([], -1)


def test_rows_have_the_ids_of_their_examples_in_order(example):
    answers = [(("x",), (-1.0,)), (("y", "z"), (-2.0, -3.0))]
    rows = predict.rows_of([example("ls", "1"), example("pwd", "2")], answers)
    assert [row["id"] for row in rows] == ["1", "2"]
    assert rows[1]["candidates"] == ["y", "z"]


def row(number):
    """A row of a number whose log-probability is not finite where it is odd."""
    log_prob = -math.inf if number % 2 else -0.1 * number
    return {"id": str(number), "candidates": ["x"], "log_probs": [log_prob]}


@pytest.fixture
def unfinished(tmp_path, header):
    """Takes up an evaluation of rows 0 to 6 in batches of 2."""

    def begin(*, program="a", ids="0123456", **changes):
        path = tmp_path / "p.jsonl"
        return predict.Unfinished(
            path, header | changes, list(ids), batch_size=2, program=program
        )

    return begin


def test_a_cut_evaluation_goes_on_after_its_last_whole_batch(unfinished, tmp_path):
    first = unfinished()
    assert first.rows == []
    first.add([row(0), row(1)])
    first.add([row(2), row(3)])
    path = tmp_path / "p.jsonl.unfinished"
    whole = path.read_text()
    for cut in range(len(whole)):
        path.write_text(whole[:cut])
        kept = unfinished().rows
        ended = max(whole[:cut].count("\n") - 1, 0)
        assert len(kept) in (0, 2, 4) and len(kept) >= ended // 2 * 2
        assert [each["id"] for each in kept] == ["0", "1", "2", "3"][: len(kept)]


def test_a_finished_evaluation_leaves_what_one_in_a_piece_writes(
    unfinished, tmp_path, header
):
    unfinished().add([row(number) for number in (0, 1, 2)])
    again = unfinished()
    again.add([row(number) for number in range(2, 7)])
    again.finish()
    write_predictions(tmp_path / "q.jsonl", header, [row(n) for n in range(7)])
    assert {path.name for path in tmp_path.iterdir()} == {"p.jsonl", "q.jsonl"}
    assert (tmp_path / "p.jsonl").read_text() == (tmp_path / "q.jsonl").read_text()


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"seed": 9, "commit": "d" * 40}, ["seed"]),
        ({"hardware": "another"}, ["hardware"]),
        ({"program": "b"}, ["program"]),
    ],
)
def test_what_another_evaluation_left_stays_until_there_are_new_rows(
    unfinished, changes, differs
):
    unfinished().add([row(0), row(1)])
    other = unfinished(**changes)
    assert other.rows == [] and other.differs == differs
    assert len(unfinished().rows) == 2 and not unfinished().differs
    other.add([row(0), row(1)])
    assert unfinished().rows == [] and len(unfinished(**changes).rows) == 2


def test_rows_of_other_requests_are_not_taken_up(unfinished):
    unfinished().add([row(0), row(1), row(3), row(2)])
    again = unfinished()
    assert [each["id"] for each in again.rows] == ["0", "1"]
    assert again.differs == ["id"]


def test_what_may_be_unknown_may_be_missing_but_not_of_another_type(tmp_path, header):
    path = tmp_path / "p.jsonl"
    known = {"parameters": 12, "training_seconds": 3.5, "hardware": "2 x a processor"}
    write_predictions(path, header | known, [ROW])
    assert read_predictions(path)[0] == {"format": 1, **header, **known}
    for key, wrong in (("parameters", 1.5), ("hardware", 2), ("parameters", True)):
        with pytest.raises(ValueError, match=f"{key}: is {wrong}; expected"):
            write_predictions(path, header | known | {key: wrong}, [ROW])
