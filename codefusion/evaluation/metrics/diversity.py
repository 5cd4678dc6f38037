"""How much the candidates of one request differ."""

import dataclasses
import functools
import re
import zlib
from typing import ClassVar

import numpy as np

from codefusion import ranking

_ORDERS = (1, 2, 3, 4)
_BUCKETS = 1024
_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclasses.dataclass(frozen=True)
class Diversity:
    """Differences between the first five candidates of a request.

    - distinct_1 ... distinct_4: distinct n-grams over all n-grams of the candidates
      together; tokens are words and single marks. None where no candidate has any.
    - edit_distance: mean over pairs of Levenshtein distance / longer length.
    - hashed_ngram_similarity: mean over pairs of the cosine between counts of
      character 3-grams hashed to 1,024 buckets. It stands where the paper has the
      similarity of learned embeddings, and is not comparable with it.

    Attributes:
      num_candidates: how many of the first candidates count.
    """

    name: ClassVar[str] = "diversity"
    parts: ClassVar[tuple[str, ...]] = (
        *(f"distinct_{n}" for n in _ORDERS),
        "edit_distance",
        "hashed_ngram_similarity",
    )
    num_candidates: int = 5

    def score(self, candidates):
        """Returns each part, dict[str, float | None].

        Args:
          candidates: programs for one request, list[str].

        Returns:
          Values in [0, 1] by the names in `parts`; pairs are None for one candidate.
        """
        texts = candidates[: self.num_candidates]
        scores = {f"distinct_{n}": distinct_share(texts, n) for n in _ORDERS}
        pairs = np.triu_indices(len(texts), 1)
        if not len(pairs[0]):
            return scores | {"edit_distance": None, "hashed_ngram_similarity": None}
        distance = 1.0 - ranking.edit_similarities(texts)[pairs].mean()
        vectors = np.array([_vector(text) for text in texts])
        cosine = np.clip((vectors @ vectors.T)[pairs].mean(), 0.0, 1.0)
        return scores | {
            "edit_distance": float(distance),
            "hashed_ngram_similarity": float(cosine),
        }


def distinct_share(texts, n):
    """Returns distinct n-grams / n-grams over all texts together, float or None."""
    grams = []
    for text in texts:
        tokens = _TOKEN.findall(text)
        grams += zip(*(tokens[i:] for i in range(n)), strict=False)
    return len(set(grams)) / len(grams) if grams else None


@functools.lru_cache(maxsize=16_384)
def _vector(text):
    """Returns the unit vector of hashed character 3-gram counts, float64[1024]."""
    data = f"\2{text}\3".encode(errors="replace")
    grams = (data[i : i + 3] for i in range(max(len(data) - 2, 1)))
    buckets = [zlib.crc32(gram) % _BUCKETS for gram in grams]
    counts = np.bincount(buckets, minlength=_BUCKETS).astype(np.float64)
    return counts / np.linalg.norm(counts)
