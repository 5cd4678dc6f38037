"""Batches are a function of seed, step and data; CPD masks whole spans and no more."""

import dataclasses
import random
import threading
import time

import numpy as np
import pytest

from codefusion.data import encoded, pipeline
from codefusion.data.rows import Example
from codefusion.data.spans import mask_spans
from codefusion.data.tokenizer import EOS_ID, MASK_ID, PAD_ID, Tokenizer

S, L = 24, 28
COMMANDS = ["find", "grep", "sort", "make"]


def example(number):
    rng = random.Random(number)
    command, flag = rng.choice(COMMANDS), rng.choice("abcde")
    code = (
        f"{command} -{flag} {number} | wc -l" if number % 3 else f"{command} {number}"
    )
    return Example(id=f"row-{number}", utterance=f"{command} the {number}", code=code)


EXAMPLES = [example(number) for number in range(300)]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train([e.code for e in EXAMPLES], vocab_size=330)


@pytest.fixture(scope="module")
def pairs(tokenizer):
    rows = pipeline.encode_pairs(
        EXAMPLES[:100], tokenizer, source_length=S, target_length=L
    )
    return pipeline.PairRows(rows, source_length=S, target_length=L)


def encode_code(tokenizer, examples=EXAMPLES, **options):
    arguments = dict(language="bash", source_length=S, target_length=L)
    return pipeline.encode_code(examples, tokenizer, **{**arguments, **options})


@pytest.fixture(scope="module")
def code(tokenizer):
    return pipeline.CodeRows(
        encode_code(tokenizer),
        source_length=S,
        target_length=L,
        cpd_weight=0.6,
        mask_rate=0.5,
    )


@pytest.fixture(scope="module")
def mixed(code, pairs):
    return pipeline.mix([code, pairs], [0.75, 0.25], seed=3, batch_size=16)


def same(first, second):
    return all(
        a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in zip(first, second, strict=True)
    )


def take(iterator, count):
    try:
        return [next(iterator) for _ in range(count)]
    finally:
        iterator.close()


# Batches: a function of (seed, step, data).


def test_a_batch_has_the_promised_shapes_and_types(mixed):
    batch = mixed[0]
    assert [(field.shape, str(field.dtype)) for field in batch] == [
        ((16, S), "int32"),
        ((16, S), "bool"),
        ((16, L), "int32"),
        ((16, L), "bool"),
        ((16,), "bool"),
    ]


def test_reading_at_random_equals_iterating(mixed):
    run = take(mixed.iterate(0), 60)
    steps = random.Random(0).sample(range(60), 60)
    assert all(same(mixed[step], run[step]) for step in steps)


@pytest.mark.parametrize("start", [1, 7, 59, 10**9])
def test_restarting_at_a_step_equals_the_tail(mixed, start):
    tail = take(mixed.iterate(start), 5)
    assert all(same(batch, mixed[start + i]) for i, batch in enumerate(tail))


def test_batches_built_anew_are_the_same(mixed, tokenizer, pairs):
    again = pipeline.CodeRows(
        encode_code(tokenizer),
        source_length=S,
        target_length=L,
        cpd_weight=0.6,
        mask_rate=0.5,
    )
    rebuilt = pipeline.mix([again, pairs], [0.75, 0.25], seed=3, batch_size=16)
    assert rebuilt.content_hash == mixed.content_hash
    assert all(same(rebuilt[step], mixed[step]) for step in range(20))


def test_another_seed_gives_other_batches_of_the_same_data(mixed):
    other = dataclasses.replace(mixed, seed=4)
    assert other.content_hash == mixed.content_hash
    assert not any(same(other[step], mixed[step]) for step in range(20))


def test_two_iterators_do_not_disturb_each_other(mixed):
    first, second = mixed.iterate(0), mixed.iterate(0)
    interleaved = [(next(first), next(second)) for _ in range(20)]
    first.close()
    second.close()
    assert all(same(*pair) for pair in interleaved)


def test_each_epoch_reads_every_row_once_and_in_a_new_order(pairs):
    batches = pipeline.mix([pairs], [1.0], seed=0, batch_size=20)
    epochs = [
        [number for step in steps for _, number in batches.examples(step)]
        for steps in (range(5), range(5, 10))
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(100))
    assert epochs[0] != epochs[1]


def test_data_sets_of_one_size_are_read_in_orders_of_their_own(pairs):
    batches = pipeline.mix([pairs, pairs], [1, 1], seed=0, batch_size=100)
    rows = batches.examples(0)
    orders = [[number for k, number in rows if k == which] for which in (0, 1)]
    assert len(orders[0]) == len(orders[1]) and orders[0] != orders[1]


@pytest.mark.parametrize("count", [2, 4, 16])
def test_shards_are_the_parts_of_the_whole_batch(mixed, count):
    shards = [
        dataclasses.replace(mixed, rows=rows)
        for rows in np.split(np.arange(mixed.batch_size), count)
    ]
    for step in (0, 5):
        parts = [shard[step] for shard in shards]
        joined = [np.concatenate(field) for field in zip(*parts, strict=True)]
        assert same(joined, mixed[step])
        rows = [row for shard in shards for row in shard.examples(step)]
        assert rows == mixed.examples(step)


@pytest.mark.parametrize("weights", [(0.75, 0.25), (3, 1), (1, 9)])
def test_rows_are_mixed_by_weight(code, pairs, weights):
    batches = pipeline.mix([code, pairs], weights, seed=0, batch_size=40)
    drawn = [k for step in range(25) for k, _ in batches.examples(step)]
    assert drawn.count(0) / 1000 == pytest.approx(weights[0] / sum(weights), abs=0.002)


def test_rows_are_those_of_their_examples(mixed, tokenizer):
    for step in range(5):
        batch = mixed[step]
        for row, (which, number) in enumerate(mixed.examples(step)):
            assert tokenizer.decode(batch.target[row]) == EXAMPLES[number].code
            if which == 1:
                source = tokenizer.decode(batch.source[row])
                assert source == EXAMPLES[number].utterance


def test_masks_cover_the_tokens_and_one_eos_and_no_padding(mixed, tokenizer):
    batch = mixed[0]
    for ids, mask in zip(batch.target, batch.target_mask, strict=True):
        length = mask.sum()
        assert mask[:length].all()
        assert list(ids).count(EOS_ID) == 1
        assert ids[length - 1] == EOS_ID
        assert (ids[length:] == PAD_ID).all()


def test_the_hash_changes_with_all_that_the_batches_depend_on(mixed, code, pairs):
    variants = [
        dataclasses.replace(mixed, batch_size=8),
        dataclasses.replace(mixed, weights=(0.5, 0.5)),
        dataclasses.replace(mixed, datasets=(pairs, code)),
    ]
    changes = [
        dict(cpd_weight=0.5),
        dict(mask_rate=0.4),
        dict(source_length=S + 1),
        dict(target_length=L + 1),
    ]
    hashes = [batches.content_hash for batches in [mixed, *variants]]
    hashes += [dataclasses.replace(code, **c).content_hash() for c in changes]
    hashes += [code.content_hash(), pairs.content_hash()]
    assert len(set(hashes)) == len(hashes)


def test_one_changed_token_changes_the_hash(pairs):
    flat = pairs.pairs.target.flat.copy()
    flat[-2] += 1
    target = encoded.Ragged(flat, pairs.pairs.target.starts)
    changed = dataclasses.replace(pairs.pairs, target=target)
    assert dataclasses.replace(pairs, pairs=changed).content_hash() != (
        pairs.content_hash()
    )


def test_sharding_and_seed_leave_the_hash(mixed):
    shard = dataclasses.replace(mixed, seed=9, rows=np.array([1, 5]))
    assert shard.content_hash == mixed.content_hash


def test_closing_an_iterator_ends_its_threads(mixed):
    before = threading.active_count()
    take(mixed.iterate(0), 3)
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def rows_per_second(datasets, weights):
    iterator = pipeline.mix(datasets, weights, seed=0, batch_size=64).iterate(0)
    next(iterator)
    start = time.process_time()
    take(iterator, 100)
    return 6400 / (time.process_time() - start)


def test_a_core_reads_more_than_five_thousand_rows_a_second(code, pairs):
    assert rows_per_second([code, pairs], [0.75, 0.25]) > 5000


def test_a_data_set_of_three_rows_is_read_as_fast(tokenizer):
    few = pipeline.encode_pairs(
        EXAMPLES[:3], tokenizer, source_length=S, target_length=L
    )
    dataset = pipeline.PairRows(few, source_length=S, target_length=L)
    assert rows_per_second([dataset], [1.0]) > 5000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(batch_size=0), "batch_size is 0; expected 1 or more"),
        (dict(rows=[3, 16]), "rows are .*16.*; expected some of the 16 rows"),
        (dict(weights=(1.0,)), "2 data sets and 1 weights"),
        (dict(weights=(1.0, 0.0)), "weights are .*expected each above 0"),
        (dict(datasets=(), weights=()), "0 data sets"),
    ],
)
def test_a_mixture_that_cannot_work_is_an_error(mixed, change, reason):
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(mixed, **change)


def test_a_negative_step_is_an_error(mixed):
    with pytest.raises(ValueError, match="step is -1; expected 0 or more"):
        mixed[-1]


def test_data_sets_of_different_lengths_are_not_mixed(code, pairs):
    longer = dataclasses.replace(pairs, target_length=L + 1)
    with pytest.raises(ValueError, match="expected the same for all"):
        pipeline.mix([code, longer], [1.0, 1.0], seed=0, batch_size=16)


# CPD and unsupervised generation.


def draw(dataset, steps=40, batch_size=64):
    batches = pipeline.mix([dataset], [1.0], seed=1, batch_size=batch_size)
    rows = [batches[step] for step in range(steps)]
    return pipeline.Batch(*map(np.concatenate, zip(*rows, strict=True)))


def test_cpd_masks_whole_spans_and_nothing_else(code, tokenizer):
    batch = draw(code, steps=10)
    for source, target in zip(
        batch.source[~batch.unsupervised],
        batch.target[~batch.unsupervised],
        strict=True,
    ):
        text = tokenizer.decode(target)
        spans = mask_spans(text, "bash")
        _, offsets = tokenizer.encode_with_offsets(text)
        masked = source[: len(offsets)] == MASK_ID
        assert masked.any()
        assert (
            source[: len(offsets)][~masked] == target[: len(offsets)][~masked]
        ).all()
        touching = [[start < b and a < end for start, end in offsets] for a, b in spans]
        assert not masked[~np.any(touching, axis=0)].any()
        for pieces in touching:
            assert len(set(masked[pieces])) == 1


def test_the_target_of_a_masked_program_is_whole(code, tokenizer):
    batch = draw(code, steps=2)
    known = {example.code for example in EXAMPLES}
    assert {tokenizer.decode(ids) for ids in batch.target} <= known
    assert not (batch.target == MASK_ID).any()


def test_the_source_of_a_masked_program_keeps_its_eos(code, tokenizer):
    batch = draw(code, steps=2)
    for source, mask, unsupervised in zip(*batch[:2], batch.unsupervised, strict=True):
        if not unsupervised:
            assert source[mask.sum() - 1] == EOS_ID
            assert not source[mask.sum() :].any()


def test_an_unsupervised_row_says_nothing_in_its_source(code):
    batch = draw(code, steps=2)
    assert not batch.source[batch.unsupervised].any()
    assert batch.source_mask[batch.unsupervised].all()


def test_pairs_are_never_unsupervised(pairs):
    assert not draw(pairs, steps=5).unsupervised.any()


@pytest.mark.parametrize("cpd_weight", [0.0, 0.3, 0.6, 1.0])
def test_rows_are_unsupervised_at_the_rate_asked(code, cpd_weight):
    flags = draw(dataclasses.replace(code, cpd_weight=cpd_weight)).unsupervised
    deviation = np.sqrt(cpd_weight * (1 - cpd_weight) / len(flags))
    assert abs(flags.mean() - (1 - cpd_weight)) <= 4 * deviation


@pytest.mark.parametrize("mask_rate", [0.4, 0.8])
def test_spans_are_masked_at_the_rate_asked(mask_rate):
    groups = np.arange(20)[None].repeat(4000, axis=0)
    draws = np.random.default_rng(0).random(groups.shape, np.float32)
    masked = pipeline._masked_spans(groups, draws, mask_rate)
    assert masked.mean() == pytest.approx(mask_rate, abs=0.01)


def test_a_rate_of_zero_masks_one_span_and_of_one_all(code, tokenizer):
    few = dataclasses.replace(code, cpd_weight=1.0, mask_rate=0.0)
    all_ = dataclasses.replace(code, cpd_weight=1.0, mask_rate=1.0)
    rows = np.arange(len(code))
    draws = np.random.default_rng(0).random((len(rows), code.draws_per_row))
    groups, _ = code.code.groups.padded(rows, S, fill=encoded.NO_SPAN)
    masked = few.batch(rows, draws).source == MASK_ID
    assert all(len(set(g[m])) == 1 for g, m in zip(groups, masked, strict=True))
    masked = all_.batch(rows, draws).source == MASK_ID
    assert np.array_equal(masked, groups != encoded.NO_SPAN)


def test_a_row_is_masked_anew_each_time_it_is_read(code, tokenizer):
    rows = np.zeros(50, int) + 1
    draws = np.random.default_rng(0).random((50, code.draws_per_row))
    batch = dataclasses.replace(code, cpd_weight=1.0).batch(rows, draws)
    assert len({source.tobytes() for source in batch.source}) > 3


def test_a_masked_run_is_one_run_of_the_share_that_is_asked_for(code):
    runs = dataclasses.replace(code, cpd_weight=1.0, mask_rate=0.3, masked="run")
    batch = draw(runs, steps=10)
    masked = batch.source == pipeline.MASK_ID
    size = batch.source_mask.sum(1)
    np.testing.assert_array_equal(masked.sum(1), np.maximum(np.round(0.3 * size), 1))
    starts = masked & ~np.roll(masked, 1, axis=1)
    starts[:, 0] = masked[:, 0]
    assert (starts.sum(1) == 1).all() and len(set(np.argmax(masked, 1))) > 3
    np.testing.assert_array_equal(
        np.where(masked, 0, batch.source),
        np.where(masked, 0, batch.target[:, : batch.source.shape[1]]),
    )
    assert runs.content_hash() != code.content_hash()


def test_a_row_without_a_span_is_always_unsupervised(tokenizer):
    rows = encode_code(tokenizer, [Example(id="0", utterance="", code="25 , 3")] * 3)
    dataset = pipeline.CodeRows(
        rows, source_length=S, target_length=L, cpd_weight=1.0, mask_rate=1.0
    )
    assert draw(dataset, steps=2).unsupervised.all()


@pytest.mark.parametrize("key", ["cpd_weight", "mask_rate"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_rate_out_of_range_is_an_error_that_names_its_key(code, key, value):
    with pytest.raises(ValueError, match=f"pretraining.{key} is {value}; expected 0"):
        dataclasses.replace(code, **{key: value})
