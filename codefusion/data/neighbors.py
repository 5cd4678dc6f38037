"""Programs of similar requests: what a model may read beside a request.

A request is a bag of words weighted by tf-idf, and its neighbours are the training
requests with the greatest cosine to it. In training no request is its own neighbour, so
that a model learns how far the programs of others are to be trusted (retrieve and edit,
Hashimoto et al. 2018; kNN as here in Borgeaud et al. 2022).
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import json
import re

import numpy as np
import scipy.sparse

_WORD = re.compile(r"\w+(?:[.*/-]+\w+)*|[^\w\s]")
# Queries compared at once: of 40,000 training requests, 40 MB of cosines.
_CHUNK = 256
# Per program asked for: neighbours looked at to find programs that differ.
_DEPTH = 16


class Neighbors:
    """Training requests as unit vectors of tf-idf, and their programs.

    Args:
      requests: list of str.
      programs: what answers each, list of str.
    """

    def __init__(self, requests, programs):
        self.requests, self.programs = list(requests), list(programs)
        if not self.requests or len(self.requests) != len(self.programs):
            raise ValueError(
                f"there are {len(self.requests)} requests and {len(self.programs)} "
                "programs; expected as many of the one as of the other, at least one."
            )
        bags = [_bag(request) for request in self.requests]
        count = collections.Counter(itertools.chain.from_iterable(bags))
        self._columns = {word: i for i, word in enumerate(count)}
        frequency = np.fromiter(count.values(), np.float64, len(count)) / len(bags)
        # Below 0 for a word that is in most requests more than once.
        self._weights = np.maximum(-np.log(frequency), 0.0)
        self._vectors = self._matrix(bags).T.tocsr()
        numbers = {}
        for program in self.programs:
            numbers.setdefault(program, len(numbers))
        self._program_numbers = np.array([numbers[p] for p in self.programs])
        self._folded = np.array([_folded(request) for request in self.requests])

    @classmethod
    def of(cls, examples):
        """Returns the Neighbors of a sequence of `rows.Example`s."""
        return cls([e.utterance for e in examples], [e.code for e in examples])

    def __len__(self):
        return len(self.requests)

    def nearest(self, utterances, count, *, leave_out_same=False):
        """Returns the nearest requests with distinct programs.

        Args:
          utterances: list of str.
          count: how many for each.
          leave_out_same: pass over requests equal to the utterance but for case.

        Returns:
          (rows int64[utterances, count], the nearest first, -1 where there are no more;
          their cosines float32, 0 there).
        """
        shape = (len(utterances), count)
        rows, cosines = np.full(shape, -1, np.int64), np.zeros(shape, np.float32)
        for start in range(0, len(utterances), _CHUNK):
            chunk = utterances[start : start + _CHUNK]
            table = (self._matrix([_bag(u) for u in chunk]) @ self._vectors).toarray()
            for i, (utterance, cosine) in enumerate(zip(chunk, table, strict=True)):
                if leave_out_same:
                    cosine[self._folded == _folded(utterance)] = -1.0
                found = self._distinct(cosine, count)
                rows[start + i, : len(found)] = found
                cosines[start + i, : len(found)] = cosine[found]
        return rows, cosines

    def _distinct(self, cosine, count):
        """Returns the rows of the greatest cosines, one a program; at most count."""
        depth = min(len(cosine), _DEPTH * count)
        while True:
            top = np.argpartition(-cosine, depth - 1)[:depth]
            top = top[np.lexsort((top, -cosine[top]))]
            top = top[cosine[top] >= 0]
            _, first = np.unique(self._program_numbers[top], return_index=True)
            if len(first) >= count or depth == len(cosine):
                return top[np.sort(first)[:count]]
            depth = min(len(cosine), 4 * depth)

    def _matrix(self, bags):
        """Returns the unit vectors of bags of words, sparse float32[bags, words]."""
        known = self._columns
        entries = [
            (row, known[word], count * self._weights[known[word]])
            for row, bag in enumerate(bags)
            for word, count in bag.items()
            if word in known
        ]
        rows, columns, values = np.array(entries).reshape(-1, 3).T
        rows = rows.astype(np.int64)
        norms = np.sqrt(np.bincount(rows, values**2, minlength=len(bags)))
        norms = np.where(norms > 0, norms, 1.0)  # words of every request alone
        return scipy.sparse.csr_matrix(
            (np.float32(values / norms[rows]), (rows, columns.astype(np.int64))),
            shape=(len(bags), len(known)),
        )

    @functools.cached_property
    def content_hash(self):
        """SHA-256 of the requests and programs, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self):
        """Returns requests and programs as a file holds them, JSON in UTF-8."""
        pairs = dict(requests=self.requests, programs=self.programs)
        return json.dumps(pairs, ensure_ascii=False, indent=0).encode()

    @classmethod
    def from_bytes(cls, data):
        """Returns the Neighbors that `to_bytes` wrote."""
        return cls(**json.loads(data))


@dataclasses.dataclass(frozen=True, eq=False)
class Retrieval:
    """Which programs of neighbours are read beside a request.

    A context is `num_neighbors` programs of the `pool` nearest, the nearest first; with
    a larger pool there are several contexts for a request. Each row of training takes
    one of them at random every time that it is read, and draws may be spread over them.

    Attributes:
      neighbors: the `Neighbors`.
      num_neighbors: K, programs in a context.
      pool: M, neighbours that contexts are made of; at least K.
    """

    neighbors: Neighbors
    num_neighbors: int
    pool: int

    @functools.cached_property
    def contexts(self):
        """Which of the pool each context is made of, the nearest first; int[C, K]."""
        return contexts_of(self.num_neighbors, self.pool)


def contexts_of(num_neighbors, pool):
    """Returns the contexts of K programs of the M nearest, int[contexts, K].

    Args:
      num_neighbors: K.
      pool: M, at least K.
    """
    chosen = itertools.combinations(range(pool), num_neighbors)
    return np.array(sorted(chosen, key=lambda c: (sum(c), c)))


def _bag(text):
    return collections.Counter(_WORD.findall(text.lower()))


def _folded(text):
    return " ".join(text.casefold().split())
