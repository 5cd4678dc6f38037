"""Examples to batches that are a function of (seed, step, data) alone.

Rows are tokenised once and kept as ragged arrays. Row numbers, in a new order each
epoch, are mixed by weight and batched by `grain`, and each batch of row numbers
becomes a padded `Batch` in a few vectorised reads. Every step can be read by itself, so
resuming is to go on reading at a step, and no state of an iterator is ever saved.

All random draws are made for the whole batch and then cut to the shard, so the rows and
their masks do not depend on how many processes share the batch.
"""

import dataclasses
import functools
import hashlib
import json
import sys
from typing import Protocol

import grain
import numpy as np

from codefusion.data.encoded import (
    NO_SPAN,
    TokenCode,
    TokenPairs,
    encode_code,
    encode_pairs,
)
from codefusion.data.tokenizer import MASK_ID, PAD_ID
from codefusion.types import Batch

__all__ = [
    "Batches",
    "CodeRows",
    "PairRows",
    "Rows",
    "TokenCode",
    "TokenPairs",
    "encode_code",
    "encode_pairs",
    "mix",
]

_PREFETCH_BATCHES = 8


class Rows(Protocol):
    """Rows of one kind that become batches; what `mix` mixes.

    Attributes:
      source_length: S of its batches.
      target_length: L of its batches.
      draws_per_row: uniform draws that a row needs.
      example_numbers: which example each row came from, int64[rows].
      num_dropped: examples that are no rows because they are too long.
    """

    source_length: int
    target_length: int
    draws_per_row: int
    example_numbers: np.ndarray
    num_dropped: int

    def __len__(self):
        """Returns the number of rows."""

    def batch(self, rows, draws) -> Batch:
        """Returns the rows as a Batch, padded to the two lengths.

        Args:
          rows: row numbers, int[K].
          draws: uniform draws, float32[K, W], W at least draws_per_row.

        Returns:
          Batch of K rows: int32 and bool [K, S] and [K, L], bool[K].
        """

    def content_hash(self) -> str:
        """Returns a hash of all that its batches depend on."""


@dataclasses.dataclass(frozen=True, eq=False)
class PairRows:
    """Rows of TokenPairs for fine-tuning; each time a row is read it draws a context.

    Attributes:
      pairs: the requests and programs.
      source_length, target_length: S and L of its batches.
    """

    pairs: TokenPairs
    source_length: int
    target_length: int

    draws_per_row = 1

    def __len__(self):
        return len(self.pairs)

    @property
    def example_numbers(self):
        """Which example each row came from, int64[rows]."""
        return self.pairs.rows

    @property
    def num_dropped(self):
        """Examples that are too long, a count."""
        return self.pairs.num_dropped

    def batch(self, rows, draws):
        """Returns the supervised Batch of the rows.

        Args:
          rows: row numbers, int[K].
          draws: uniform draws, float32[K, W]: the first chooses the context.

        Returns:
          Batch of int32 and bool [K, S] and [K, L]; unsupervised is False.
        """
        context = (draws[:, 0] * self.pairs.source.num_contexts).astype(np.int64)
        lengths = (self.source_length, self.target_length)
        source = self.pairs.source.padded(rows, context, *lengths)
        target = self.pairs.target.padded(rows, self.target_length, fill=PAD_ID)
        return Batch(*source, *target, unsupervised=np.zeros(len(rows), bool))

    def content_hash(self):
        """Returns a hash of the tokens and lengths."""
        tokens = (self.pairs.source.content_hash, self.pairs.target.content_hash)
        return _hash("pairs", *tokens, self.source_length, self.target_length)


@dataclasses.dataclass(frozen=True, eq=False)
class CodeRows:
    """Rows of TokenCode for pre-training: its two tasks (Singh et al. 2023).

    Each time a row is read it becomes a row of continuous paragraph denoising (CPD)
    with probability cpd_weight, else one of unsupervised generation. For CPD its source
    is the program with mask ids in the place of some: of whole spans of code, each with
    probability mask_rate and at least one, or of one run anywhere, mask_rate of the
    program (GENIE, Lin et al. 2023). For unsupervised generation its source is empty
    and its mask True throughout, so that it says nothing, not even a length. A row
    without a span has nothing to restore and is always unsupervised.

    Attributes:
      code: the programs.
      source_length, target_length: S and L of its batches.
      cpd_weight: probability that a row is a CPD row and not an unsupervised one.
      mask_rate: probability that a span of a CPD row is masked, or the share that is.
      masked: what is masked, "spans" or "run".
    """

    code: TokenCode
    source_length: int
    target_length: int
    cpd_weight: float
    mask_rate: float
    masked: str = "spans"

    def __post_init__(self):
        for key in ("cpd_weight", "mask_rate"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(
                    f"pretraining.{key} is {getattr(self, key)}; expected 0 to 1."
                )

    def __len__(self):
        return len(self.code)

    @property
    def example_numbers(self):
        """Which example each row came from, int64[rows]."""
        return self.code.rows

    @property
    def num_dropped(self):
        """Examples that are too long, a count."""
        return self.code.num_dropped

    @functools.cached_property
    def draws_per_row(self):
        """One draw for the task and one for each span of the richest row."""
        return 2 + max(0, int(self.code.groups.flat.max()))

    def batch(self, rows, draws):
        """Returns the Batch of the rows, with tasks and masks from the draws.

        Args:
          rows: row numbers, int[K].
          draws: uniform draws, float32[K, W], W at least draws_per_row.

        Returns:
          Batch of int32 and bool [K, S] and [K, L].
        """
        source, source_mask = self.code.target.padded(
            rows, self.source_length, fill=PAD_ID
        )
        target = self.code.target.padded(rows, self.target_length, fill=PAD_ID)
        groups, _ = self.code.groups.padded(rows, self.source_length, fill=NO_SPAN)
        masked = _masked_spans(groups, draws[:, 1:], self.mask_rate)
        if self.masked == "run":
            masked = _masked_run(source_mask, draws[:, 1], self.mask_rate)
        unsupervised = (draws[:, 0] >= self.cpd_weight) | ~masked.any(axis=1)
        source = np.where(masked, np.int32(MASK_ID), source)
        return Batch(
            np.where(unsupervised[:, None], np.int32(PAD_ID), source),
            source_mask | unsupervised[:, None],
            *target,
            unsupervised=unsupervised,
        )

    def content_hash(self):
        """Returns a hash of the tokens, spans, lengths and rates."""
        tokens = (self.code.target.content_hash, self.code.groups.content_hash)
        rates = (self.cpd_weight, self.mask_rate, MASK_ID)
        rates += () if self.masked == "spans" else (self.masked,)
        return _hash("code", *tokens, self.source_length, self.target_length, *rates)


def _masked_run(real, draws, rate):
    """Returns where a run of ids is masked, `rate` of the row's own, bool[K, S]."""
    size = real.sum(axis=1, keepdims=True)
    length = np.maximum(np.round(rate * size), 1)
    after = np.arange(real.shape[1]) - np.floor(draws[:, None] * (size - length + 1))
    return (after >= 0) & (after < length)


def _masked_spans(groups, draws, rate):
    """Returns where whole spans are masked, at least one a row, bool[K, S]."""
    draw = np.take_along_axis(draws, np.maximum(groups, 0), axis=1)
    draw = np.where(groups == NO_SPAN, np.inf, draw)
    lowest = draw.min(axis=1, keepdims=True)
    return ((draw < rate) | (draw == lowest)) & (groups != NO_SPAN)


def mix(datasets, weights, *, seed, batch_size, rows=None):
    """Returns endless Batches drawn from datasets in proportion to weights.

    Args:
      datasets: sequence of Rows, all with the same lengths.
      weights: a share for each, above 0.
      seed: seed of the order, of the tasks and of the masks.
      batch_size: rows of the whole batch, over all shards.
      rows: which rows of each batch this process reads, sorted int[K]; None for all.
    """
    return Batches(
        tuple(datasets),
        tuple(float(weight) for weight in weights),
        seed=seed,
        batch_size=batch_size,
        rows=None if rows is None else np.asarray(rows),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """Endless batches; `batches[step]` depends on (seed, step, content_hash) alone."""

    datasets: tuple
    weights: tuple
    seed: int
    batch_size: int
    rows: np.ndarray | None = None

    def __post_init__(self):
        _check_mixture(self.datasets, self.weights)
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; expected 1 or more.")
        if self.rows is not None and not np.isin(self.rows, self._all_rows()).all():
            raise ValueError(
                f"rows are {self.rows}; expected some of the {self.batch_size} rows of "
                "a batch."
            )

    def _all_rows(self):
        return np.arange(self.batch_size)

    @functools.cached_property
    def content_hash(self):
        """Hash of everything but the seed that the batches depend on."""
        hashes = [dataset.content_hash() for dataset in self.datasets]
        return _hash("batches", hashes, self.weights, self.batch_size)

    def __getitem__(self, step):
        """Returns the Batch of a step, or this process's rows of it, in numpy."""
        if step < 0:
            raise ValueError(f"step is {step}; expected 0 or more.")
        return self._batches[step]

    def iterate(self, start_step=0):
        """Returns an iterator over the batches from start_step on.

        A thread reads ahead; call `close()` on the iterator to end it.
        """
        options = grain.ReadOptions(1, _PREFETCH_BATCHES)  # threads, batches ahead
        return iter(self._batches[start_step:].to_iter_dataset(options))

    def examples(self, step):
        """Returns where the rows of a step come from: (data set, example) numbers."""
        numbers = np.asarray(self._row_numbers[step])
        which, rows = self._locate(self._shard(numbers))
        pairs = zip(which.tolist(), rows.tolist(), strict=True)
        return [(k, int(self.datasets[k].example_numbers[row])) for k, row in pairs]

    @functools.cached_property
    def _firsts(self):
        return np.concatenate([[0], np.cumsum([len(d) for d in self.datasets])])

    @functools.cached_property
    def _row_numbers(self):
        starts = zip(self._firsts[:-1].tolist(), self.datasets, strict=True)
        orders = [
            grain.MapDataset.source(
                _EndlessOrder(first, len(dataset), _fold(self.seed, k))
            )
            for k, (first, dataset) in enumerate(starts)
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
        return values if self.rows is None else values[self.rows]

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


@dataclasses.dataclass(frozen=True)
class _EndlessOrder:
    """Row numbers from first on, in a new order each epoch; a grain data source.

    grain's own shuffle takes 0.5 ms for an element where there are 64, and 10 ms where
    there are 2; one permutation an epoch costs nothing.
    """

    first: int
    size: int
    seed: int

    def __len__(self):
        return sys.maxsize

    def __getitem__(self, index):
        epoch, place = divmod(index, self.size)
        return self.first + int(_permutation(self.size, self.seed, epoch)[place])


# Few enough to keep, and enough for the epochs that one batch of a mixture may span.
@functools.lru_cache(maxsize=16)
def _permutation(size, seed, epoch):
    return np.random.default_rng([seed, epoch]).permutation(size)


def _fold(seed, number):
    """Returns a seed, in 31 bits, of its own for each number."""
    state = np.random.SeedSequence([seed, number]).generate_state(1)
    return int(state[0] >> 1)


def _hash(*values):
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


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
