"""Copies of a pair have other values on both sides, and are otherwise the pair."""

import re

import pytest

from codefusion import assemble, config
from codefusion.data.rows import Example
from codefusion.data.value_swaps import values_of, with_swaps

PAIRS = [
    ("find files named notes", "find . -name notes"),
    ("find files named report", "find . -name report"),
    ("show the last 10 lines of log", "tail -n 10 log"),
    ("count the words of Draft", "wc -w Draft"),
    ("sort the file list by size", "sort -k size list"),
    ("sort list", "sort list"),
]
EXAMPLES = [Example(f"r{i}", *pair) for i, pair in enumerate(PAIRS)]


def test_values_are_copied_words_and_not_commands_or_flags():
    found = values_of(EXAMPLES)
    assert {"notes", "report", "10", "log", "Draft"} <= found
    assert not found & {"find", "sort", "name", "wc", "n", "w", "tail"}


@pytest.mark.parametrize(
    ("pair", "word"),
    [
        (("call print now", "print(x)"), "print"),
        (("long listing with color", "ls --color"), "color"),
        (("open ls", "ls"), "ls"),
    ],
)
def test_what_a_program_calls_or_sets_is_no_value(pair, word):
    assert word not in values_of([Example("a", *pair)])


def test_a_word_that_programs_hold_anyway_is_no_value():
    rows = [("remove the type", "rm type"), ("remove all", "rm type")]
    examples = [Example(str(i), *row) for i, row in enumerate(rows)]
    assert "type" not in values_of(examples)


def test_a_word_that_most_requests_do_not_hand_on_is_no_value():
    plain = [Example(f"p{i}", f"size of x{i}", f"du x{i}") for i in range(9)]
    title = Example("t", "find end of file", 'grep "end of file"')
    assert "of" not in values_of([title, *plain])
    assert "of" in values_of([title])


def test_copies_come_after_the_rows_and_change_both_sides_alike():
    found = with_swaps(EXAMPLES, 3, seed=0)
    assert found[: len(EXAMPLES)] == EXAMPLES
    by_id = {example.id: example for example in EXAMPLES}
    values = values_of(EXAMPLES)
    for copy in found[len(EXAMPLES) :]:
        row = by_id[copy.id.partition("+")[0]]
        assert copy != row
        before, after = words(row.code), words(copy.code)
        assert len(before) == len(after)
        renamed = {b: a for b, a in zip(before, after, strict=True) if b != a}
        assert renamed.keys() <= values
        for old, new in renamed.items():
            assert old not in words(copy.utterance)
            assert new in words(copy.utterance)
            assert (old.isdecimal(), old.islower()) == (new.isdecimal(), new.islower())


def words(text):
    return re.findall(r"\w+", text)


def test_a_number_keeps_its_length():
    row = Example("n", "keep 1500 of 20", "head -n 1500 20")
    first, second = words(with_swaps([row], 1, seed=3)[1].utterance)[1::2]
    assert (len(first), len(second)) == (4, 2)


def test_a_row_without_values_has_no_copy():
    row = Example("a", "list files", "ls -l")
    assert list(with_swaps([row], 5, seed=0)) == [row]


def test_copies_are_a_function_of_the_seed():
    assert with_swaps(EXAMPLES, 2, seed=1) == with_swaps(EXAMPLES, 2, seed=1)
    assert with_swaps(EXAMPLES, 2, seed=1) != with_swaps(EXAMPLES, 2, seed=2)


def test_a_config_adds_copies_to_what_is_trained_on():
    def rows(copies):
        c = config.base()
        c.data.update(source_length=32, target_length=16, size=200, held_out_size=10)
        c.tokenizer.vocab_size = 512
        c.training.value_swaps = copies
        c = assemble.check(c)
        tokenizer = assemble.train_tokenizer(c)
        (stage,) = assemble.stages(c, tokenizer, assemble.parts(c, 512))
        return sum(map(len, stage.batches.datasets))

    assert rows(0) < rows(2) <= 3 * rows(0)
