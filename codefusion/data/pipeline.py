"""Examples to batches that are a function of (seed, step, data) alone.

Rows are tokenised once and kept as ragged arrays. `grain` orders row numbers (shuffle
anew each epoch, repeat, mix by weight, batch), and each batch of row numbers becomes a
padded `Batch` in a few vectorised reads. Every step can be read by itself, so resuming
is to go on reading at a step, and no state of an iterator is ever saved.

All random draws are made for the whole batch and then cut to the shard, so the rows and
their masks do not depend on how many processes share the batch.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
from typing import Protocol

import grain
import numpy as np

from codefusion.data.tokenizer import EOS_ID, PAD_ID
from codefusion.types import Batch

ON_LONG = ("drop", "truncate", "error")

_PREFETCH_BATCHES = 8


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Rows of ids of different lengths, end to end.

    Attributes:
      flat: int32[sum of lengths].
      starts: where each row begins, and where the last one ends; int64[rows + 1].
    """

    flat: np.ndarray
    starts: np.ndarray

    @classmethod
    def from_rows(cls, rows):
        """Returns the rows (a list of sequences of int) end to end."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        flat = np.fromiter(itertools.chain.from_iterable(rows), np.int32, starts[-1])
        return cls(flat, starts)

    def __len__(self):
        return len(self.starts) - 1

    def padded(self, rows, length, *, fill):
        """Returns rows cut or padded to length.

        Args:
          rows: row numbers, int[K].
          length: columns of the result.
          fill: what is written beyond the end of a row.

        Returns:
          (values int32[K, length], mask bool[K, length]), True inside the row.
        """
        starts = self.starts[rows][:, None]
        places = starts + np.arange(length)
        mask = places < self.starts[rows + 1][:, None]
        values = self.flat[np.minimum(places, len(self.flat) - 1)]
        return np.where(mask, values, np.int32(fill)), mask

    @functools.cached_property
    def content_hash(self):
        """SHA-256 of the rows."""
        digest = hashlib.sha256(self.starts.astype("<i8").tobytes())
        digest.update(self.flat.astype("<i4").tobytes())
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class TokenPairs:
    """Tokenised requests and the code that answers them.

    Attributes:
      source: pieces of each utterance, then eos.
      target: pieces of each program, then eos.
      rows: which example each row came from, int64[rows].
      num_dropped: examples left out because they were too long.
      num_truncated: examples that were cut.
    """

    source: Ragged
    target: Ragged
    rows: np.ndarray
    num_dropped: int
    num_truncated: int

    def __len__(self):
        return len(self.rows)


@dataclasses.dataclass(frozen=True)
class TokenCode:
    """Tokenised programs, and the spans that may be masked.

    Attributes:
      target: pieces of each program, then eos.
      groups: for each id of target, the number of the span within its row, or -1
        where there is none; ids of one span are masked together.
      rows: which example each row came from, int64[rows].
      num_dropped: examples left out because they were too long.
      num_truncated: examples that were cut.
    """

    target: Ragged
    groups: Ragged
    rows: np.ndarray
    num_dropped: int
    num_truncated: int

    def __len__(self):
        return len(self.rows)


def encode_pairs(examples, tokenizer, *, source_length, target_length, on_long="drop"):
    """Returns the TokenPairs of examples.

    Args:
      examples: iterable of `rows.Example`.
      tokenizer: the Tokenizer.
      source_length: most ids of a request, eos included.
      target_length: most ids of a program, eos included.
      on_long: what happens to a longer one. "drop" leaves the row out and counts it,
        "truncate" cuts it (a request keeps its eos, a program loses it, because the
        program goes on), "error" raises.
    """
    examples = list(examples)
    sources = tokenizer.encode_all([example.utterance for example in examples])
    targets = tokenizer.encode_all([example.code for example in examples])
    lengths = [(len(s) + 1, len(t) + 1) for s, t in zip(sources, targets, strict=True)]
    limits = {"data.source_length": source_length, "data.target_length": target_length}
    kept = _kept_rows(examples, lengths, limits, on_long)
    return TokenPairs(
        source=Ragged.from_rows(
            [[*sources[i][: source_length - 1], EOS_ID] for i in kept]
        ),
        target=Ragged.from_rows([[*targets[i], EOS_ID][:target_length] for i in kept]),
        rows=kept,
        num_dropped=len(examples) - len(kept),
        num_truncated=_count_long([lengths[i] for i in kept], limits),
    )


class Rows(Protocol):
    """Rows of one kind that become batches; what `mix` mixes.

    Attributes:
      source_length: S of its batches.
      target_length: L of its batches.
      draws_per_row: uniform draws that a row needs.
    """

    source_length: int
    target_length: int
    draws_per_row: int

    def __len__(self): ...

    def batch(self, rows, draws) -> Batch:
        """Returns the Batch of row numbers int[K] and draws float32[K, W]."""

    def content_hash(self) -> str:
        """Returns a hash of all that its batches depend on."""


@dataclasses.dataclass(frozen=True)
class PairRows:
    """Rows of TokenPairs for fine-tuning."""

    pairs: TokenPairs
    source_length: int
    target_length: int

    draws_per_row = 0

    def __len__(self):
        return len(self.pairs)

    def batch(self, rows, draws):
        """Returns the supervised Batch of the rows."""
        del draws
        source = self.pairs.source.padded(rows, self.source_length, fill=PAD_ID)
        target = self.pairs.target.padded(rows, self.target_length, fill=PAD_ID)
        return Batch(*source, *target, unsupervised=np.zeros(len(rows), bool))

    def content_hash(self):
        """Returns a hash of the tokens and lengths."""
        tokens = (self.pairs.source.content_hash, self.pairs.target.content_hash)
        return _hash("pairs", *tokens, self.source_length, self.target_length)


def pair_dataset(pairs, *, source_length, target_length):
    """Returns the Rows of TokenPairs, padded to the two lengths."""
    return PairRows(pairs, source_length=source_length, target_length=target_length)


def mix(datasets, weights=None, *, seed, batch_size, shard_index=0, shard_count=1):
    """Returns endless Batches drawn from datasets in proportion to weights.

    Args:
      datasets: sequence of Rows, all with the same lengths.
      weights: a share for each, above 0; None for their sizes.
      seed: seed of the order, of the tasks and of the masks.
      batch_size: rows of the whole batch, over all shards.
      shard_index: which part of each batch this process reads.
      shard_count: how many processes share a batch.
    """
    if weights is None:
        weights = [len(dataset) for dataset in datasets]
    return Batches(
        tuple(datasets),
        tuple(float(weight) for weight in weights),
        seed=seed,
        batch_size=batch_size,
        shard_index=shard_index,
        shard_count=shard_count,
    )


@dataclasses.dataclass(frozen=True)
class Batches:
    """Endless batches; `batches[step]` depends on (seed, step, content_hash) alone."""

    datasets: tuple
    weights: tuple
    seed: int
    batch_size: int
    shard_index: int = 0
    shard_count: int = 1

    def __post_init__(self):
        _check_mixture(self.datasets, self.weights)
        if self.batch_size < 1 or self.batch_size % self.shard_count:
            raise ValueError(
                f"batch_size is {self.batch_size}; expected a positive multiple of the "
                f"{self.shard_count} processes that share the batch."
            )
        if not 0 <= self.shard_index < self.shard_count:
            raise ValueError(
                f"shard_index is {self.shard_index}; expected 0 to "
                f"{self.shard_count - 1}."
            )

    @functools.cached_property
    def content_hash(self):
        """Hash of everything but the seed that the batches depend on."""
        hashes = [dataset.content_hash() for dataset in self.datasets]
        return _hash("batches", hashes, self.weights, self.batch_size)

    def __getitem__(self, step):
        """Returns this shard's part of the Batch of a step, in numpy."""
        return self._batches[step]

    def iterate(self, start_step=0):
        """Returns an iterator over the batches from start_step on.

        A thread reads ahead; call `close()` on the iterator to end it.
        """
        options = grain.ReadOptions(
            num_threads=1, prefetch_buffer_size=_PREFETCH_BATCHES
        )
        return iter(self._batches[start_step:].to_iter_dataset(options))

    def examples(self, step):
        """Returns where the rows of a step come from: (data set, example) numbers."""
        numbers = np.asarray(self._row_numbers[step])
        which, rows = self._locate(self._shard(numbers))
        pairs = zip(which.tolist(), rows.tolist(), strict=True)
        return [(k, int(_example_numbers(self.datasets[k])[row])) for k, row in pairs]

    @functools.cached_property
    def _firsts(self):
        return np.concatenate([[0], np.cumsum([len(d) for d in self.datasets])])

    @functools.cached_property
    def _row_numbers(self):
        orders = [
            _endless_order(first, len(dataset), seed=_fold(self.seed, k))
            for k, (first, dataset) in enumerate(
                zip(self._firsts[:-1].tolist(), self.datasets, strict=True)
            )
        ]
        mixed = orders[0]
        if len(orders) > 1:
            mixed = grain.MapDataset.mix(orders, self.weights)
        return mixed.batch(self.batch_size)

    @functools.cached_property
    def _batches(self):
        seed = _fold(self.seed, len(self.datasets))
        return self._row_numbers.seed(seed).random_map(self._assemble)

    def _shard(self, values):
        size = self.batch_size // self.shard_count
        return values[self.shard_index * size : (self.shard_index + 1) * size]

    def _locate(self, numbers):
        which = np.searchsorted(self._firsts, numbers, side="right") - 1
        return which, numbers - self._firsts[which]

    def _assemble(self, numbers, rng):
        width = max(dataset.draws_per_row for dataset in self.datasets)
        draws = self._shard(rng.random((self.batch_size, width), np.float32))
        which, rows = self._locate(self._shard(numbers))
        if len(self.datasets) == 1:
            return self.datasets[0].batch(rows, draws)
        places = [np.flatnonzero(which == k) for k in range(len(self.datasets))]
        parts = [
            dataset.batch(rows[place], draws[place])
            for dataset, place in zip(self.datasets, places, strict=True)
        ]
        undo = np.argsort(np.concatenate(places))
        return Batch(
            *(np.concatenate(field)[undo] for field in zip(*parts, strict=True))
        )


def _endless_order(first, size, *, seed):
    ordered = grain.MapDataset.range(first, first + size)
    return ordered.seed(seed).shuffle().repeat(None)


def _example_numbers(dataset):
    return dataset.pairs.rows


def _fold(seed, number):
    """Returns a seed, in 31 bits, of its own for each number."""
    state = np.random.SeedSequence([seed, number]).generate_state(1)
    return int(state[0] >> 1)


def _hash(*values):
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _kept_rows(examples, lengths, limits, on_long):
    """Returns the numbers of the examples to keep, int64[rows]."""
    if on_long not in ON_LONG:
        raise ValueError(f"on_long is {on_long!r}; expected one of {sorted(ON_LONG)}.")
    most = tuple(limits.values())
    long = [any(n > m for n, m in zip(row, most, strict=True)) for row in lengths]
    if on_long == "error" and any(long):
        raise _long_error(examples, lengths, limits, long.index(True))
    kept = np.flatnonzero(~np.array(long, bool) | (on_long == "truncate"))
    if not len(kept):
        raise ValueError(
            f"none of {len(examples)} rows fits; expected rows of at most "
            + " and ".join(f"{limit} tokens ({key})" for key, limit in limits.items())
            + "."
        )
    return kept


def _long_error(examples, lengths, limits, number):
    key, limit, length = next(
        (key, limit, length)
        for (key, limit), length in zip(limits.items(), lengths[number], strict=True)
        if length > limit
    )
    return ValueError(
        f"row {examples[number].id} has {length} tokens, eos included; {key} is "
        f"{limit}: raise it, or drop or truncate long rows."
    )


def _count_long(lengths, limits):
    most = tuple(limits.values())
    return sum(any(n > m for n, m in zip(r, most, strict=True)) for r in lengths)


def _check_mixture(datasets, weights):
    if not datasets or len(datasets) != len(weights):
        raise ValueError(
            f"there are {len(datasets)} data sets and {len(weights)} weights; expected "
            "at least one data set and a weight for each."
        )
    if not all(weight > 0 for weight in weights):
        raise ValueError(f"mixture weights are {weights}; expected each above 0.")
    shapes = {(d.source_length, d.target_length) for d in datasets}
    if len(shapes) > 1:
        raise ValueError(
            "the mixed data sets have (source_length, target_length) "
            f"{sorted(shapes)}; expected the same for all."
        )
