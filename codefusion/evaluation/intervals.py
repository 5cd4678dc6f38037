"""Intervals of a mean over rows: the bootstrap, and Wilson's where it has no width.

Rows that are all 0 or all 1 give the same mean however they are drawn again, though
the next row may be another. With n of them, Wilson (1927) has for their share

    0 of n: [0, z^2 / (n + z^2)],  n of n: [n / (n + z^2), 1],                   (1)

z being the normal quantile of the confidence, 1.96 for 95 %. It holds for the mean of
any score in [0, 1] as well, which is at most the share of rows that are not 0, and at
least that of rows that are 1.
"""

import dataclasses
import functools
import statistics

import numpy as np

_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """The percentile bootstrap over rows, the same draws at every call.

    For rows that are all 0 or all 1 the interval is Wilson's, eq. (1).

    Attributes:
      seed: of the draws.
      num_resamples: how many times the rows are drawn again.
      confidence: of the interval; of the bootstrap's, the share of means inside.
    """

    seed: int = 0
    num_resamples: int = 1000
    confidence: float = 0.95

    def __post_init__(self):
        if self.num_resamples < 1:
            raise ValueError(f"num_resamples is {self.num_resamples}; expected >= 1.")
        if not 0.0 < self.confidence < 1.0:
            raise ValueError(f"confidence is {self.confidence}; expected in (0, 1).")

    def summary(self, values):
        """Returns the mean with its interval and the number of rows, dict.

        Args:
          values: one score per row, list of numbers in [0, 1]; None where a row has no
            score.

        Returns:
          {"mean", "low", "high": float or None without rows, "rows": int}.
        """
        values = np.array([value for value in values if value is not None], np.float64)
        if not len(values):
            return {"mean": None, "low": None, "high": None, "rows": 0}
        low, high = self._interval(values)
        numbers = {"mean": values.mean(), "low": low, "high": high}
        rounded = {key: round(float(value), _DIGITS) for key, value in numbers.items()}
        return rounded | {"rows": len(values)}

    def _interval(self, values):
        """Returns (low, high) of the mean of float64[R]."""
        rounded = values.round(_DIGITS)
        if rounded[0] in (0.0, 1.0) and (rounded == rounded[0]).all():
            return self._wilson(len(values), all_are_1=bool(rounded[0]))
        means = _counts(self.seed, self.num_resamples, len(values)) @ values
        tail = 50.0 * (1.0 - self.confidence)
        return np.percentile(means / len(values), [tail, 100.0 - tail])

    def _wilson(self, num_rows, *, all_are_1):
        """Returns (low, high) of eq. (1)."""
        z = statistics.NormalDist().inv_cdf(0.5 + self.confidence / 2)
        reach = z**2 / (num_rows + z**2)
        return (1.0 - reach, 1.0) if all_are_1 else (0.0, reach)


@functools.lru_cache(maxsize=4)
def _counts(seed, num_resamples, num_rows):
    """Returns how often each resample draws each row, float64[resamples, rows]."""
    shares = np.full(num_rows, 1.0 / num_rows)
    draws = np.random.default_rng(seed).multinomial(num_rows, shares, num_resamples)
    return draws.astype(np.float64)
