"""Rows are encoded once; over-long ones are left out and counted."""

import gzip
import time

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from codefusion.data import encoded
from codefusion.data.rows import Example
from codefusion.data.tokenizer import EOS_ID, Tokenizer

S, L = 24, 28


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["ls -l words", "make short", "a b c"], vocab_size=330)


def encode_code(tokenizer, examples, **options):
    arguments = dict(language="bash", source_length=S, target_length=L)
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


def encode_pairs(tokenizer, examples, **lengths):
    arguments = dict(source_length=S, target_length=L)
    return encoded.encode_pairs(examples, tokenizer, **{**arguments, **lengths})


def test_long_rows_are_left_out_and_counted(tokenizer):
    rows = encode_pairs(tokenizer, LONG)
    assert rows.rows.tolist() == [0]
    assert rows.num_dropped == 2


def test_a_row_that_fits_exactly_is_kept_whole(tokenizer):
    source, target = (len(tokenizer.encode(text)) + 1 for text in ("short", "ls"))
    lengths = dict(source_length=source, target_length=target)
    rows = encode_pairs(tokenizer, LONG[:1], **lengths)
    values, mask = rows.source.ids.padded(np.array([0]), source, fill=0)
    assert mask.all() and values[0, -1] == EOS_ID
    assert tokenizer.decode(values[0]) == "short"
    for key in lengths:
        with pytest.raises(ValueError, match="none of 1 rows fits"):
            encode_pairs(tokenizer, LONG[:1], **{**lengths, key: lengths[key] - 1})


@pytest.mark.parametrize("encode", ["encode_pairs", "encode_code"])
@pytest.mark.parametrize("examples", [[], LONG[2:]], ids=["no rows", "one long row"])
def test_no_row_that_fits_is_an_error_that_names_both_keys(tokenizer, encode, examples):
    with pytest.raises(ValueError) as caught:
        globals()[encode](tokenizer, examples)
    reason = f"none of {len(examples)} rows fits; expected rows of at most {S} tokens"
    assert str(caught.value).startswith(f"{reason} (data.source_length) and {L} ")
    assert "data.target_length" in str(caught.value)


def test_a_program_has_to_fit_as_a_source_too(tokenizer):
    rows = encode_code(tokenizer, LONG[2:] + LONG[:1])
    assert rows.rows.tolist() == [1]
    with pytest.raises(ValueError, match=r"at most 2 tokens \(data.source_length"):
        encode_code(tokenizer, LONG[:1], source_length=2)


def test_code_keeps_the_first_of_equal_programs(tokenizer):
    programs = ["b 1", "a", "b 1", "c", "a"]
    examples = [
        Example(id=str(i), utterance="", code=c) for i, c in enumerate(programs)
    ]
    rows = encode_code(tokenizer, examples)
    assert rows.rows.tolist() == [0, 1, 3]
    assert rows.num_dropped == 0


def test_the_largest_corpus_is_encoded_in_seconds_needs_data(data_dir):
    path = data_dir / "codefusion-prose" / "ConditionalFormattingSnippets.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
    examples = [Example(id=str(i), utterance="", code=c) for i, c in enumerate(lines)]
    tokenizer = Tokenizer.train(lines, vocab_size=512, max_training_sentences=20_000)
    start = time.process_time()
    rows = encode_code(tokenizer, examples, language="cf")
    assert time.process_time() - start < 20
    assert (len(lines), len(rows) + rows.num_dropped) == (226_468, 3_498)
