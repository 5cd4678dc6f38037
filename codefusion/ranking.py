"""Orders the draws of one request: by probability, votes, behaviour or risk.

A request is drawn several times and answered with a few candidates. Equal draws
merge: a text is offered once, and how often it was drawn counts as its votes. Repeats
come after all distinct texts, for when more candidates are asked for than there are.
Texts that are preferred, those that parse, come before the others; all draws have a
say in which of them is first.

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
    """Keeps the order of the draws."""

    def rank(self, candidates, log_probs, preferred=None, classify=None):
        """Returns the indices of all draws, the best first.

        Args:
          candidates: texts drawn for one request, list[str].
          log_probs: mean token log-probability of each, list[float].
          preferred: whether to put each before those that are not, list[bool] with
            one value for equal texts; None makes no difference between them.
          classify: list of texts -> a value for each, equal where two do the same;
            `Agreement` alone asks, to which None says that only equal texts do.

        Returns:
          Each index into candidates once, list[int].
        """
        preferred = _checked(candidates, log_probs, preferred)
        return sorted(range(len(candidates)), key=lambda index: not preferred[index])


@dataclasses.dataclass(frozen=True)
class LogProb:
    """Orders distinct texts by mean token log-probability, votes breaking ties."""

    def rank(self, candidates, log_probs, preferred=None, classify=None):
        """Returns the indices, the likeliest text first; see `InOrder.rank`."""
        preferred = _checked(candidates, log_probs, preferred)
        votes = collections.Counter(candidates)
        scores = [
            (first, _number(log_prob), votes[text])
            for text, log_prob, first in zip(
                candidates, log_probs, preferred, strict=True
            )
        ]
        return _best(candidates, log_probs, scores=scores)


@dataclasses.dataclass(frozen=True)
class Votes:
    """Orders distinct texts by how often they were drawn."""

    def rank(self, candidates, log_probs, preferred=None, classify=None):
        """Returns the indices, the most frequent text first; see `InOrder.rank`."""
        preferred = _checked(candidates, log_probs, preferred)
        votes = collections.Counter(candidates)
        scores = [
            (first, votes[text])
            for text, first in zip(candidates, preferred, strict=True)
        ]
        return _best(candidates, log_probs, scores=scores)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Orders what programs do by how many draws do it, a text for each.

    Execution agreement (Li et al. 2022, AlphaCode; Shi et al. 2022): programs that do
    the same vote together, and the most frequent one stands for them. Further texts
    that do the same come after all that do something else.
    """

    def rank(self, candidates, log_probs, preferred=None, classify=None):
        """Returns the indices, the likeliest behaviour first; see `InOrder.rank`."""
        preferred = _checked(candidates, log_probs, preferred)
        done = classify(candidates) if classify else candidates
        alike = collections.Counter(done)
        votes = collections.Counter(candidates)
        scores = [
            (first, alike[what], votes[text])
            for text, what, first in zip(candidates, done, preferred, strict=True)
        ]
        order = _best(candidates, log_probs, scores=scores)
        distinct, repeats = order[: len(votes)], order[len(votes) :]
        shown = {}
        for index in distinct:
            shown.setdefault(done[index], index)
        distinct.sort(key=lambda i: (not preferred[i], shown[done[i]] != i))
        return distinct + repeats


@dataclasses.dataclass(frozen=True)
class MinimumBayesRisk:
    """Orders distinct texts by their similarity to all draws, repeats included.

    Minimum Bayes risk (Kumar and Byrne 2004): each text stands by itself, and the
    second is often nearly the first.
    """

    def rank(self, candidates, log_probs, preferred=None, classify=None):
        """Returns the indices, the least risky text first; see `InOrder.rank`."""
        return _by_similarity(_least_risk, candidates, log_probs, preferred)


@dataclasses.dataclass(frozen=True)
class Covering:
    """Orders distinct texts so that the first few serve best together.

    The first is that of minimum Bayes risk. Each next one is the text that, with those
    before it, brings the draws nearest to their nearest candidate: the greedy answer to
    facility location, worth at least 1 - 1/e of the best set (Nemhauser et al. 1978).
    """

    def rank(self, candidates, log_probs, preferred=None, classify=None):
        """Returns the indices, each text the best addition; see `InOrder.rank`."""
        return _by_similarity(_cover, candidates, log_probs, preferred)


RANKINGS = {
    "none": InOrder,
    "log_prob": LogProb,
    "votes": Votes,
    "agreement": Agreement,
    "mbr": MinimumBayesRisk,
    "covering": Covering,
}


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
    """Returns the normalised edit similarity of two texts, a float in [0, 1]."""
    return float(edit_similarities([text, other])[0, 1])


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


def _checked(candidates, log_probs, preferred):
    """Returns whether each draw is preferred, list[bool]."""
    preferred = [True] * len(candidates) if preferred is None else preferred
    for name, given in (("log-probabilities", log_probs), ("preferences", preferred)):
        if len(candidates) != len(given):
            raise ValueError(
                f"{len(candidates)} candidates came with {len(given)} {name}; "
                "expected one each."
            )
    return preferred


def _by_similarity(order, candidates, log_probs, preferred):
    """Returns the indices of all draws, their distinct texts put in order.

    Args:
      order: orders distinct texts, as `_cover` does.
      candidates, log_probs, preferred: as in `InOrder.rank`.
    """
    preferred = _checked(candidates, log_probs, preferred)
    votes = collections.Counter(candidates)
    texts = list(votes)
    likeliest, first = dict.fromkeys(texts, -math.inf), {}
    for text, log_prob, wanted in zip(candidates, log_probs, preferred, strict=True):
        likeliest[text] = max(likeliest[text], _number(log_prob))
        first[text] = wanted
    found = order(
        edit_similarities(texts),
        np.array(list(votes.values()), float),
        [(first[text], likeliest[text]) for text in texts],
    )
    place = {texts[index]: place for place, index in enumerate(found)}
    return _best(candidates, log_probs, scores=[-place[t] for t in candidates])


def _least_risk(similarity, votes, standing):
    """Returns an order of K texts by similarity to all draws.

    Args:
      similarity: of every pair of texts, float64[K, K].
      votes: how often each text was drawn, float64[K].
      standing: (preferred, log-probability) of each text; the preferred come before
        the others, and the log-probability settles ties.
    """
    merits = _merits(similarity @ votes, standing)
    return sorted(range(len(votes)), key=merits.__getitem__, reverse=True)


def _cover(similarity, votes, standing):
    """Returns an order of K texts, each adding most to what those before it cover.

    What a set covers is the sum over texts of votes times the greatest similarity to
    any of the set.

    Args:
      similarity, votes, standing: as in `_least_risk`.
    """
    covered, left, order = np.zeros(len(votes)), set(range(len(votes))), []
    while left:
        gains = np.maximum(similarity - covered, 0.0) @ votes
        best = max(left, key=_merits(gains, standing).__getitem__)
        left.remove(best)
        order.append(best)
        covered = np.maximum(covered, similarity[best])
    return order


def _merits(gains, standing):
    """Returns what texts are compared by, greatest first, a list of tuples."""
    return [
        # Rounding keeps equal gains equal, whatever the order of summation.
        (preferred, round(gain, 9), log_prob, -index)
        for index, (gain, (preferred, log_prob)) in enumerate(
            zip(gains.tolist(), standing, strict=True)
        )
    ]


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
