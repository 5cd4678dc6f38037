"""Bootstrap intervals of a mean over rows."""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """The percentile bootstrap over rows, the same draws at every call.

    Attributes:
      seed: of the draws.
      num_resamples: how many times the rows are drawn again.
      confidence: share of resampled means inside the interval.
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
          values: one score per row, list of numbers; None where a row has no score.

        Returns:
          {"mean", "low", "high": float or None without rows, "rows": int}.
        """
        values = np.array([value for value in values if value is not None], np.float64)
        if not len(values):
            return {"mean": None, "low": None, "high": None, "rows": 0}
        counts = _counts(self.seed, self.num_resamples, len(values))
        means = counts @ values / len(values)
        tail = 50.0 * (1.0 - self.confidence)
        low, high = np.percentile(means, [tail, 100.0 - tail])
        numbers = {"mean": values.mean(), "low": low, "high": high}
        rounded = {key: round(float(value), 6) for key, value in numbers.items()}
        return rounded | {"rows": len(values)}


@functools.lru_cache(maxsize=4)
def _counts(seed, num_resamples, num_rows):
    """Returns how often each resample draws each row, float64[resamples, rows]."""
    shares = np.full(num_rows, 1.0 / num_rows)
    draws = np.random.default_rng(seed).multinomial(num_rows, shares, num_resamples)
    return draws.astype(np.float64)
