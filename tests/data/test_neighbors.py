"""Neighbours of requests: which they are, and how they stand in a batch."""

import numpy as np
import pytest

from codefusion.data import neighbors, pipeline
from codefusion.data.rows import Example
from codefusion.data.tokenizer import EOS_ID, PAD_ID

ROWS = [
    Example("0", "list all files in the folder", "ls -a"),
    Example("1", "count the lines of all files", "wc -l *"),
    Example("2", "count lines in a.txt", "wc -l a.txt"),
    Example("3", "list files", "ls"),
    Example("4", "List  FILES", "ls -1"),
]
SOURCE, TARGET = 8, 6


class Letters:
    """A tokenizer of words, each a number that its letters settle."""

    def encode(self, text):
        return [10 + sum(map(ord, word)) for word in text.split()]

    def encode_all(self, texts):
        return [self.encode(text) for text in texts]


def index():
    return neighbors.Neighbors.of(ROWS)


def pair_rows(count, pool):
    retrieval = neighbors.Retrieval(index(), count, pool)
    pairs = pipeline.encode_pairs(
        ROWS,
        Letters(),
        source_length=SOURCE,
        target_length=TARGET,
        retrieval=retrieval,
    )
    return pipeline.PairRows(pairs, SOURCE + count * TARGET, TARGET)


def block(program, length=TARGET):
    ids = [*Letters().encode(program), EOS_ID]
    return ids + [PAD_ID] * (length - len(ids))


def test_the_nearest_is_the_same_request_and_can_be_left_out():
    rows, cosines = index().nearest([ROWS[2].utterance], 2)
    assert rows.tolist() == [[2, 1]] and cosines[0, 0] == pytest.approx(1)
    rows, _ = index().nearest([ROWS[2].utterance], 2, leave_out_same=True)
    assert rows[0, 0] == 1 and 2 not in rows


def test_the_same_request_in_other_case_and_spacing_is_left_out():
    rows, _ = index().nearest(["list files"], 5, leave_out_same=True)
    assert rows[0].tolist()[:1] == [0] and not {3, 4} & set(rows[0].tolist())
    assert rows[0, -1] == -1  # there are no more


def test_programs_of_neighbours_are_distinct():
    same = neighbors.Neighbors(["a b", "a c", "a d"], ["x", "x", "y"])
    rows, _ = same.nearest(["a"], 3)
    assert rows.tolist() == [[0, 2, -1]]


def test_neighbours_of_many_requests_are_those_of_each():
    utterances = [row.utterance for row in ROWS] * 60  # more than one chunk
    rows, _ = index().nearest(utterances, 3)
    each, _ = index().nearest(utterances[:5], 3)
    np.testing.assert_array_equal(rows, np.tile(each, (60, 1)))


def test_deep_ties_are_searched_until_programs_differ():
    many = neighbors.Neighbors(["a"] * 100 + ["a z"], ["x"] * 100 + ["y"])
    rows, _ = many.nearest(["a z"], 2)
    assert rows.tolist() == [[100, 0]]


def test_bytes_come_back_as_the_same_neighbours():
    again = neighbors.Neighbors.from_bytes(index().to_bytes())
    assert again.content_hash == index().content_hash
    assert (again.requests, again.programs) == (index().requests, index().programs)


def test_requests_without_programs_are_refused():
    with pytest.raises(ValueError, match="2 requests and 1 programs"):
        neighbors.Neighbors(["a", "b"], ["x"])


def test_contexts_begin_with_the_nearest():
    assert neighbors.contexts_of(2, 4).tolist() == [
        [0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3],
    ]  # fmt: skip


def test_a_source_ends_in_a_block_for_each_program():
    batch = pair_rows(2, 2).batch(np.array([0, 2]), np.zeros((2, 1)))
    nearest, _ = index().nearest([ROWS[2].utterance], 2, leave_out_same=True)
    programs = [ROWS[row].code for row in nearest[0]]
    assert batch.source.shape == (2, SOURCE + 2 * TARGET)
    expected = block(ROWS[2].utterance, SOURCE) + block(programs[0])
    assert batch.source[1].tolist() == expected + block(programs[1])
    np.testing.assert_array_equal(batch.source_mask, batch.source != PAD_ID)


def test_another_draw_takes_another_context_and_every_neighbour_comes():
    rows = pair_rows(1, 3)
    draws = np.linspace(0, 0.999, 60)[:, None]
    found = rows.batch(np.zeros(60, int), draws).source[:, SOURCE:]
    near, _ = index().nearest([ROWS[0].utterance], 3, leave_out_same=True)
    blocks = {tuple(block(ROWS[row].code)) for row in near[0]}
    assert {tuple(row) for row in found.tolist()} == blocks


def test_no_row_reads_its_own_program_from_its_own_request():
    rows = pair_rows(1, 4)
    for number, row in enumerate(ROWS[:3]):
        draws = np.linspace(0, 0.999, 20)[:, None]
        found = rows.batch(np.full(20, number), draws).source[:, SOURCE:].tolist()
        assert block(row.code) not in found


def test_a_missing_neighbour_is_an_empty_block():
    two = neighbors.Neighbors(["a", "b"], ["x", "y"])
    pairs = pipeline.encode_pairs(
        [Example("0", "a", "x")],
        Letters(),
        source_length=SOURCE,
        target_length=TARGET,
        retrieval=neighbors.Retrieval(two, 2, 2),
    )
    rows = pipeline.PairRows(pairs, SOURCE + 2 * TARGET, TARGET)
    batch = rows.batch(np.array([0]), np.zeros((1, 1)))
    assert batch.source[0, SOURCE:].tolist() == block("y") + [PAD_ID] * TARGET
    assert not batch.source_mask[0, -TARGET:].any()


def test_the_hash_of_rows_depends_on_their_neighbours():
    hashes = {pair_rows(1, 2).content_hash(), pair_rows(1, 3).content_hash()}
    assert len(hashes) == 2
