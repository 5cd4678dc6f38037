"""The nearest requests' programs: the baseline that nothing is trained for."""

from collections import namedtuple

import pytest

from codefusion.data.neighbors import Neighbors
from experiments import nearest

Row = namedtuple("Row", "utterance code")
ROWS = [
    Row("list all files in the folder", "ls -a"),
    Row("count the lines of all files", "wc -l *"),
    Row("count lines in a.txt", "wc -l a.txt"),
    Row("list files", "ls"),
    Row("show files", "ls"),
]


@pytest.mark.parametrize("row", ROWS[:4])
def test_a_request_seen_in_training_gets_its_own_program_first(row):
    programs, scores = nearest.answer(Neighbors.of(ROWS), row.utterance, 3)
    assert programs[0] == row.code and scores[0] == pytest.approx(0.0, abs=1e-6)


def test_programs_are_distinct_and_the_nearest_come_first():
    programs, scores = nearest.answer(Neighbors.of(ROWS), "count files", 9)
    assert len(programs) == len(set(programs)) == 4
    assert scores == sorted(scores, reverse=True)


def test_a_word_in_every_request_counts_for_nothing():
    rows = [Row(f"please {r.utterance}", r.code) for r in ROWS]
    assert nearest.answer(Neighbors.of(rows), "please", 1)[1] == [-1.0]


def test_a_request_of_unknown_words_gets_some_programs():
    programs, scores = nearest.answer(Neighbors.of(ROWS), "zzz", 2)
    assert len(programs) == 2 and scores == [-1.0, -1.0]
