"""Examples to tokens: ragged rows of ids, and which ids may be masked together.

Masking whole spans is one of the two tasks of pre-training, continuous paragraph
denoising (CPD, Singh et al. 2023). A row longer than the model is left out and counted.
Every row is tokenised once, before training; equal texts are tokenised once between
them, which matters where a corpus of 226,468 lines holds 3,498 different ones.
"""

import dataclasses
import functools
import hashlib
import itertools

import numpy as np

from codefusion.data.spans import mask_spans
from codefusion.data.tokenizer import EOS_ID, PAD_ID

NO_SPAN = -1


@dataclasses.dataclass(frozen=True, eq=False)
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


@dataclasses.dataclass(frozen=True, eq=False)
class TokenNeighbors:
    """Tokenised programs of the neighbours of requests.

    Attributes:
      programs: pieces of each program, then eos; the last one is empty.
      rows: which of programs are the nearest to each request, the nearest first, -1
        where there are no more; int64[requests, M].
      contexts: which of the M nearest each context is made of, int[contexts, K].
    """

    programs: Ragged
    rows: np.ndarray
    contexts: np.ndarray

    def padded(self, rows, context, length):
        """Returns the programs of contexts, each in a block of its own.

        Args:
          rows: request numbers, int[B].
          context: which context of each, int or int[B].
          length: columns of a block; programs are cut to it.

        Returns:
          (values int32[B, K * length], mask bool[B, K * length]).
        """
        context = np.broadcast_to(context, len(rows))
        chosen = self.rows[np.asarray(rows)[:, None], self.contexts[context]]
        chosen %= len(self.programs)  # -1 is the last one, which is empty
        values, mask = self.programs.padded(chosen.reshape(-1), length, fill=PAD_ID)
        return values.reshape(len(rows), -1), mask.reshape(len(rows), -1)

    @property
    def content_hash(self):
        """Hash of all that the contexts depend on."""
        digest = hashlib.sha256(self.programs.content_hash.encode())
        for array in (self.rows, self.contexts):
            digest.update(array.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Requests:
    """Tokenised requests and what is read beside them.

    Attributes:
      ids: pieces of each utterance, then eos.
      neighbors: the programs of neighbours; None for nothing.
    """

    ids: Ragged
    neighbors: TokenNeighbors | None = None

    @property
    def num_contexts(self):
        """How many contexts a request has, int."""
        return 1 if self.neighbors is None else len(self.neighbors.contexts)

    def padded(self, rows, context, source_length, target_length):
        """Returns requests and, behind them, the programs of their contexts.

        Args:
          rows: row numbers, int[B].
          context: which context of each, int or int[B].
          source_length: S, the blocks of programs included.
          target_length: columns of a block.

        Returns:
          (values int32[B, S], mask bool[B, S]).
        """
        near = self.neighbors
        if near is None:
            return self.ids.padded(rows, source_length, fill=PAD_ID)
        blocks = near.padded(rows, context, target_length)
        own = self.ids.padded(rows, source_length - blocks[0].shape[1], fill=PAD_ID)
        return tuple(np.concatenate(p, axis=1) for p in zip(own, blocks, strict=True))

    @property
    def content_hash(self):
        """Hash of all that sources depend on."""
        parts = (self.ids, self.neighbors)
        hashes = [part.content_hash for part in parts if part is not None]
        if len(hashes) == 1:
            return hashes[0]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class TokenPairs:
    """Tokenised requests and the code that answers them.

    Attributes:
      source: the requests.
      target: pieces of each program, then eos.
      rows: which example each row came from, int64[rows].
      num_dropped: examples left out because they were too long.
    """

    source: Requests
    target: Ragged
    rows: np.ndarray
    num_dropped: int

    def __len__(self):
        return len(self.rows)


@dataclasses.dataclass(frozen=True, eq=False)
class TokenCode:
    """Tokenised programs, and the spans that may be masked.

    Attributes:
      target: pieces of each program, then eos.
      groups: for each id of target, the number of the span within its row, or -1
        where there is none; ids of one span are masked together.
      rows: which example each row came from, int64[rows].
      num_dropped: examples left out because they were too long.
    """

    target: Ragged
    groups: Ragged
    rows: np.ndarray
    num_dropped: int

    def __len__(self):
        return len(self.rows)


def encode_pairs(examples, tokenizer, *, source_length, target_length, retrieval=None):
    """Returns the TokenPairs of the examples that fit both lengths.

    Args:
      examples: iterable of `rows.Example`.
      tokenizer: the Tokenizer.
      source_length: most ids of a request, eos included.
      target_length: most ids of a program, eos included.
      retrieval: the `neighbors.Retrieval` of what is read beside a request, never of a
        request that is the same; None for nothing.
    """
    examples = list(examples)
    sources = tokenizer.encode_all([example.utterance for example in examples])
    targets = tokenizer.encode_all([example.code for example in examples])
    lengths = [(len(s) + 1, len(t) + 1) for s, t in zip(sources, targets, strict=True)]
    kept = _fitting(lengths, source_length=source_length, target_length=target_length)
    near = retrieval and encode_neighbors(
        [examples[i].utterance for i in kept],
        tokenizer,
        retrieval,
        leave_out_same=True,
    )
    ids = Ragged.from_rows([[*sources[i], EOS_ID] for i in kept])
    return TokenPairs(
        source=Requests(ids, near),
        target=Ragged.from_rows([[*targets[i], EOS_ID] for i in kept]),
        rows=kept,
        num_dropped=len(examples) - len(kept),
    )


def encode_neighbors(utterances, tokenizer, retrieval, *, leave_out_same=False):
    """Returns the `TokenNeighbors` of utterances.

    Args:
      utterances: list of str.
      tokenizer: the Tokenizer.
      retrieval: a `neighbors.Retrieval`.
      leave_out_same: see `neighbors.Neighbors.nearest`.
    """
    index = retrieval.neighbors
    rows, _ = index.nearest(utterances, retrieval.pool, leave_out_same=leave_out_same)
    used, inverse = np.unique(rows, return_inverse=True)
    used, missing = used[used >= 0], int((used < 0).any())
    ids = tokenizer.encode_all([index.programs[row] for row in used])
    return TokenNeighbors(
        programs=Ragged.from_rows([*([*piece, EOS_ID] for piece in ids), []]),
        rows=inverse.reshape(rows.shape) - missing,
        contexts=retrieval.contexts,
    )


def encode_code(examples, tokenizer, *, language, source_length, target_length):
    """Returns the TokenCode of the examples that fit; their utterances are not read.

    A program that recurs is one row, the first. A masked program is a source as well as
    a target, so it has to fit both lengths.

    Args:
      examples: iterable of `rows.Example`.
      tokenizer: the Tokenizer.
      language: how spans are found, see `spans.mask_spans`.
      source_length: most ids of a masked program, eos included.
      target_length: most ids of a program, eos included.
    """
    codes = [example.code for example in examples]
    first = {code: i for i, code in reversed(list(enumerate(codes)))}
    numbers = np.array(sorted(first.values()), np.int64)
    encoded = [_with_groups(tokenizer, codes[i], language) for i in numbers]
    lengths = [(len(ids),) * 2 for ids, _ in encoded]
    kept = _fitting(lengths, source_length=source_length, target_length=target_length)
    return TokenCode(
        target=Ragged.from_rows([encoded[i][0] for i in kept]),
        groups=Ragged.from_rows([encoded[i][1] for i in kept]),
        rows=numbers[kept],
        num_dropped=len(numbers) - len(kept),
    )


def span_groups(offsets, spans):
    """Returns the number of the span that each piece touches, or NO_SPAN.

    A piece that touches several spans makes them one, because it can only be masked
    as a whole.

    Args:
      offsets: (start, end) of each piece, in order.
      spans: (start, end) of each span, sorted and disjoint.

    Returns:
      list of int, a number per piece; numbers begin at 0.
    """
    groups, group, current, last = [], -1, 0, -1
    for start, end in offsets:
        while current < len(spans) and spans[current][1] <= start:
            current += 1
        if current == len(spans) or spans[current][0] >= end:
            groups.append(NO_SPAN)
            continue
        group += current > last
        last = max(last, current)
        while last + 1 < len(spans) and spans[last + 1][0] < end:
            last += 1
        groups.append(group)
    return groups


def _with_groups(tokenizer, code, language):
    """Returns the ids of code and eos, and the group of each."""
    ids, offsets = tokenizer.encode_with_offsets(code)
    groups = span_groups(offsets, mask_spans(code, language))
    return [*ids, EOS_ID], [*groups, NO_SPAN]


def _fitting(lengths, *, source_length, target_length):
    """Returns the numbers of the rows that fit both lengths, int64[rows]."""
    most = np.array([source_length, target_length])
    kept = np.flatnonzero((np.array(lengths).reshape(-1, 2) <= most).all(axis=1))
    if not len(kept):
        raise ValueError(
            f"none of {len(lengths)} rows fits; expected rows of at most "
            f"{source_length} tokens (data.source_length) and {target_length} tokens "
            "(data.target_length)."
        )
    return kept
