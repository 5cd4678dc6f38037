"""chrF: character n-gram F-score (Popović, 2015)."""

import collections
import dataclasses
import functools
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class ChrF:
    """Sentence chrF2 in [0, 1], with sacreBLEU's defaults.

    Precision and recall of character n-grams without white space are averaged over
    the orders 1 to `order` that both texts have, then combined with recall weighing
    beta squared times as much. sacreBLEU prints 100 times this.

    Attributes:
      order: longest n-gram.
      beta: weight of recall.
    """

    name: ClassVar[str] = "chrf"
    languages: ClassVar[tuple[str, ...] | None] = None
    order: int = 6
    beta: int = 2

    def score(self, prediction, example):
        """Returns the score in [0, 1]; see `ExactMatch.score`."""
        precisions, recalls = [], []
        bags = _bags(prediction, self.order), _bags(example.code, self.order)
        for (guess, guessed), (gold, wanted) in zip(*bags, strict=True):
            if guessed and wanted:
                shared = sum(min(count, gold[gram]) for gram, count in guess.items())
                precisions.append(shared / guessed)
                recalls.append(shared / wanted)
        if not sum(precisions):
            return 0.0
        precision = sum(precisions) / len(precisions)
        recall = sum(recalls) / len(recalls)
        weight = self.beta**2
        return (1 + weight) * precision * recall / (weight * precision + recall)


@functools.lru_cache(maxsize=16_384)
def _bags(text, order):
    """Returns counts of character n-grams and their sum, for each n up to order."""
    text = "".join(text.split())
    bags = []
    for n in range(1, order + 1):
        bag = collections.Counter(text[i : i + n] for i in range(len(text) - n + 1))
        bags.append((bag, max(len(text) - n + 1, 0)))
    return tuple(bags)
