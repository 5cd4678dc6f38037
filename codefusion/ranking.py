"""Orders the draws of one request: by probability, by votes or by minimum Bayes risk.

A request is drawn several times and answered with a few candidates. Equal draws
merge: a text is offered once, and how often it was drawn counts as its votes. Repeats
come after all distinct texts, for when more candidates are asked for than there are.

Distances come from Myers' bit-parallel algorithm in Hyyrö's form, with the bit
columns of all texts laid side by side in one integer, so that one pass over a text
gives its distance to every other.
"""

import collections
import dataclasses
import functools
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class InOrder:
    """Keeps the order of the draws, repeats included."""

    def rank(self, candidates, log_probs):
        """Returns the indices of all draws, the best first.

        Args:
          candidates: texts drawn for one request, list[str].
          log_probs: mean token log-probability of each, list[float].

        Returns:
          Each index into candidates once, list[int].
        """
        _check(candidates, log_probs)
        return list(range(len(candidates)))


@dataclasses.dataclass(frozen=True)
class LogProb:
    """Orders distinct texts by mean token log-probability, votes breaking ties."""

    def rank(self, candidates, log_probs):
        """Returns the indices, the likeliest text first; see `InOrder.rank`."""
        _check(candidates, log_probs)
        votes = collections.Counter(candidates)
        scores = [
            (_number(log_prob), votes[text])
            for text, log_prob in zip(candidates, log_probs, strict=True)
        ]
        return _best(candidates, log_probs, scores=scores)


@dataclasses.dataclass(frozen=True)
class Votes:
    """Orders distinct texts by how often they were drawn."""

    def rank(self, candidates, log_probs):
        """Returns the indices, the most frequent text first; see `InOrder.rank`."""
        _check(candidates, log_probs)
        votes = collections.Counter(candidates)
        scores = [votes[text] for text in candidates]
        return _best(candidates, log_probs, scores=scores)


@dataclasses.dataclass(frozen=True)
class MinimumBayesRisk:
    """Orders distinct texts so that the first few serve best together.

    The first is the text most similar to all draws, repeats included: minimum Bayes
    risk (Kumar and Byrne 2004). Each next one is the text that, with those before it,
    brings the draws nearest to their nearest candidate: the greedy answer to facility
    location, worth at least 1 - 1/e of the best set (Nemhauser et al. 1978).

    Attributes:
      jointly: False orders all texts as the first is chosen, each by itself.
      ngram_weight: share in [0, 1] of the character n-gram overlap in the
        similarity; the rest is normalised edit similarity.
      ngram_order: length of those n-grams.
    """

    jointly: bool = True
    ngram_weight: float = 0.0
    ngram_order: int = 3

    def __post_init__(self):
        if not 0.0 <= self.ngram_weight <= 1.0:
            raise ValueError(
                f"inference.ranking.ngram_weight is {self.ngram_weight}; "
                "expected a number in [0, 1]."
            )
        if self.ngram_order < 1:
            raise ValueError(
                f"inference.ranking.ngram_order is {self.ngram_order}; expected >= 1."
            )

    def rank(self, candidates, log_probs):
        """Returns the indices, the least risky text first; see `InOrder.rank`."""
        _check(candidates, log_probs)
        votes = collections.Counter(candidates)
        likeliest = dict.fromkeys(votes, -math.inf)
        for text, log_prob in zip(candidates, log_probs, strict=True):
            likeliest[text] = max(likeliest[text], _number(log_prob))
        order = _cover(
            self._similarity(list(votes)),
            np.array(list(votes.values()), float),
            list(likeliest.values()),
            jointly=self.jointly,
        )
        texts = list(votes)
        place = {texts[index]: place for place, index in enumerate(order)}
        return _best(candidates, log_probs, scores=[-place[t] for t in candidates])

    def _similarity(self, texts):
        similarity = edit_similarities(texts)
        if self.ngram_weight == 0.0:
            return similarity
        overlap = _ngram_overlaps(texts, self.ngram_order)
        return (1.0 - self.ngram_weight) * similarity + self.ngram_weight * overlap


RANKINGS = {
    "none": InOrder,
    "log_prob": LogProb,
    "votes": Votes,
    "mbr": MinimumBayesRisk,
}


def valid_first(order, candidates, is_valid):
    """Returns an order with programs that parse before those that do not.

    Within each kind the order stays; texts that came before stay behind all others.

    Args:
      order: indices into candidates, list[int].
      candidates: texts drawn for one request, list[str].
      is_valid: whether a text is a program, str -> bool.

    Returns:
      The same indices, list[int].
    """
    first = {}
    for index in order:
        first.setdefault(candidates[index], index)

    def group(index):
        if first[candidates[index]] != index:
            return 2
        return 0 if is_valid(candidates[index]) else 1

    return sorted(order, key=group)


def edit_distances(text, others):
    """Returns the Levenshtein distance from one text to each of several.

    Args:
      text: a string.
      others: strings, list of length K.

    Returns:
      Least numbers of insertions, deletions and substitutions, list of K ints.
    """
    lows, full, columns = _columns(tuple(others))
    up, down = full, 0  # where a column of the distance table steps by +1 and by -1
    for character in text:
        equal = columns.get(character, 0)
        across = (((equal & up) + up) ^ up) | equal
        plus = ((down | ~(across | up)) << 1) | lows
        minus = (up & across) << 1
        vertical = equal | down
        up = (minus | ~(vertical | plus)) & full
        down = plus & vertical & full
    return [
        len(text) + (up & lane).bit_count() - (down & lane).bit_count()
        for lane in _lanes(others)
    ]


def edit_similarity(text, other):
    """Returns 1 - Levenshtein distance / length of the longer text, in [0, 1]."""
    longest = max(len(text), len(other))
    return 1.0 - edit_distances(text, [other])[0] / longest if longest else 1.0


def edit_similarities(texts):
    """Returns the normalised edit similarity of every pair, float64[K, K].

    Args:
      texts: strings, list of length K.

    Returns:
      1 - distance / length of the longer one; 1 on the diagonal, float64[K, K].
    """
    distances = np.array([edit_distances(text, texts) for text in texts], float)
    lengths = np.array([len(text) for text in texts], float)
    longest = np.maximum(lengths[:, None], lengths[None, :])
    return 1.0 - distances / np.maximum(longest, 1.0)


def _check(candidates, log_probs):
    if len(candidates) != len(log_probs):
        raise ValueError(
            f"{len(candidates)} candidates came with {len(log_probs)} "
            "log-probabilities; expected one each."
        )


def _cover(similarity, votes, log_probs, *, jointly):
    """Returns an order of K texts, each adding most to what those before it cover.

    What a set covers is the sum over texts of votes times the greatest similarity to
    any of the set. Not `jointly`, each text counts as if it were the only one.

    Args:
      similarity: of every pair of texts, float64[K, K].
      votes: of each text, float64[K].
      log_probs: of each text, which settle ties, list[float].
      jointly: as in `MinimumBayesRisk`.
    """
    covered, left, order = np.zeros(len(votes)), list(range(len(votes))), []
    while left:
        # Rounding keeps equal gains equal, whatever the order of summation.
        gains = np.round(np.maximum(similarity - covered, 0.0) @ votes, 9)
        best = max(left, key=lambda index: (gains[index], log_probs[index], -index))
        left.remove(best)
        order.append(best)
        if jointly:
            covered = np.maximum(covered, similarity[best])
    return order


def _best(candidates, log_probs, *, scores):
    """Returns indices by score, then log-probability, then order; repeats last."""
    order = sorted(
        range(len(candidates)),
        key=lambda index: (scores[index], _number(log_probs[index]), -index),
        reverse=True,
    )
    firsts = {}
    for index in order:
        firsts.setdefault(candidates[index], index)
    distinct = list(firsts.values())
    repeats = [index for index in order if firsts[candidates[index]] != index]
    return distinct + repeats


def _number(log_prob):
    """Returns the log-probability, with not-a-number below every number."""
    return -math.inf if math.isnan(log_prob) else log_prob


@functools.lru_cache(maxsize=8)
def _columns(others):
    """Returns the low bit of each lane, all bits of the lanes, and bits by character.

    A lane has a bit for each character of its text and, above them, a guard bit that
    is always 0 and so stops the carry of the addition.
    """
    lows, full, start = 0, 0, 0
    columns = collections.defaultdict(int)
    for other in others:
        lows |= 1 << start
        full |= ((1 << len(other)) - 1) << start
        for position, character in enumerate(other):
            columns[character] |= 1 << (start + position)
        start += len(other) + 1
    return lows, full, dict(columns)


def _lanes(others):
    start = 0
    for other in others:
        yield ((1 << len(other)) - 1) << start
        start += len(other) + 1


def _ngram_overlaps(texts, order):
    """Returns the Dice coefficient of character n-gram counts, float64[K, K]."""
    bags = [_ngrams(text, order) for text in texts]
    overlaps = np.ones((len(texts), len(texts)))
    for i, left in enumerate(bags):
        for j, right in enumerate(bags[:i]):
            shared = 2.0 * (left & right).total()
            overlaps[i, j] = overlaps[j, i] = shared / (left.total() + right.total())
    return overlaps


def _ngrams(text, order):
    """Returns counts of the n-grams; a text shorter than one counts as one n-gram."""
    count = max(len(text) - order + 1, 1)
    return collections.Counter(text[i : i + order] for i in range(count))
