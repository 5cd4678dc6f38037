"""Rows are encoded once; over-long ones are dropped, cut or refused, and counted."""

import gzip
import time

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from codefusion.data import encoded, pipeline
from codefusion.data.rows import Example
from codefusion.data.tokenizer import EOS_ID, Tokenizer

S, L = 24, 28


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["ls -l words", "make short", "a b c"], vocab_size=330)


def encode_code(tokenizer, examples, **options):
    arguments = dict(language="bash", source_length=S, target_length=L, on_long="error")
    return encoded.encode_code(examples, tokenizer, **{**arguments, **options})


edges = st.lists(st.integers(0, 40), min_size=2, max_size=16, unique=True).map(sorted)


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(cuts=edges, marks=edges)
def test_pieces_share_a_group_when_spans_join_them_and_only_then(cuts, marks):
    offsets = list(zip(cuts, cuts[1:], strict=False))
    spans = list(zip(marks[::2], marks[1::2], strict=False))
    groups = encoded.span_groups(offsets, spans)
    touching = [
        {k for k, (a, b) in enumerate(spans) if start < b and a < end}
        for start, end in offsets
    ]
    assert [group == encoded.NO_SPAN for group in groups] == [not t for t in touching]
    for i in range(1, len(offsets)):
        if touching[i] and touching[i - 1]:
            joined = bool(touching[i] & touching[i - 1])
            assert (groups[i] == groups[i - 1]) == joined
    used = [group for group in groups if group != encoded.NO_SPAN]
    assert used == sorted(used) and set(used) == set(range(len(set(used))))


LONG = [
    Example(id="a", utterance="short", code="ls"),
    Example(id="b", utterance="words " * 30, code="ls"),
    Example(id="c", utterance="short", code="ls " * 40),
]


def encode_long(tokenizer, on_long):
    return encoded.encode_pairs(
        LONG, tokenizer, source_length=S, target_length=L, on_long=on_long
    )


def test_long_rows_are_dropped_and_counted(tokenizer):
    rows = encode_long(tokenizer, "drop")
    assert rows.rows.tolist() == [0]
    assert (rows.num_dropped, rows.num_truncated) == (2, 0)


def test_long_rows_are_truncated_and_counted(tokenizer):
    rows = encode_long(tokenizer, "truncate")
    assert (rows.num_dropped, rows.num_truncated) == (0, 2)
    batch = pipeline.pair_dataset(rows, source_length=S, target_length=L).batch(
        np.arange(3), None
    )
    assert batch.source[1, -1] == EOS_ID
    assert LONG[1].utterance.startswith(tokenizer.decode(batch.source[1]))
    assert batch.target_mask[2].all()
    assert EOS_ID not in batch.target[2]
    assert LONG[2].code.startswith(tokenizer.decode(batch.target[2]))


def test_a_long_row_is_an_error_that_names_row_and_key(tokenizer):
    with pytest.raises(ValueError, match=f"row b has .*data.source_length is {S}"):
        encode_long(tokenizer, "error")
    with pytest.raises(ValueError, match=f"row c has .*data.target_length is {L}"):
        encoded.encode_pairs(
            LONG[2:], tokenizer, source_length=S, target_length=L, on_long="error"
        )


def test_an_unknown_policy_for_long_rows_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="on_long is 'cut'; expected one of"):
        encode_long(tokenizer, "cut")


def test_rows_that_all_are_too_long_are_an_error(tokenizer):
    with pytest.raises(ValueError, match="none of 1 rows fits"):
        encoded.encode_pairs(
            LONG[2:], tokenizer, source_length=S, target_length=L, on_long="drop"
        )


def test_a_program_has_to_fit_as_a_source_too(tokenizer):
    rows = encode_code(tokenizer, LONG[2:] + LONG[:1], on_long="drop")
    assert rows.rows.tolist() == [1]
    with pytest.raises(ValueError, match="data.source_length is 2"):
        encode_code(tokenizer, LONG[:1], source_length=2)


def test_a_program_truncated_stays_within_both_lengths(tokenizer):
    rows = encode_code(tokenizer, LONG, on_long="truncate")
    dataset = pipeline.code_dataset(
        rows, source_length=S, target_length=L, cpd_weight=1.0, mask_rate=0.5
    )
    batch = pipeline.mix([dataset], seed=0, batch_size=64)[0]
    assert batch.source.shape == (64, S) and batch.target.shape == (64, L)
    assert rows.num_truncated == 1


def test_deduplicated_code_keeps_the_first_of_equal_programs(tokenizer):
    programs = ["b 1", "a", "b 1", "c", "a"]
    examples = [
        Example(id=str(i), utterance="", code=c) for i, c in enumerate(programs)
    ]
    rows = encode_code(tokenizer, examples, deduplicate=True)
    assert rows.rows.tolist() == [0, 1, 3]
    assert encode_code(tokenizer, examples).rows.tolist() == [0, 1, 2, 3, 4]


def test_the_largest_corpus_is_encoded_in_seconds_needs_data(data_dir):
    path = data_dir / "codefusion-prose" / "ConditionalFormattingSnippets.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
    examples = [Example(id=str(i), utterance="", code=c) for i, c in enumerate(lines)]
    tokenizer = Tokenizer.train(lines, vocab_size=512, max_training_sentences=20_000)
    start = time.process_time()
    rows = encode_code(tokenizer, examples, language="cf", on_long="drop")
    assert time.process_time() - start < 20
    assert len(rows) + rows.num_dropped == len(lines) == 226_468
