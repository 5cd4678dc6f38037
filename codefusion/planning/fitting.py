"""The largest batch that fits: an estimate from two compilations, tried by others.

Memory grows with the batch by a straight line, until the compiler begins to compute
again what it has no room for. So the line through the two largest batches gives the
next to try; where that is known not to fit, a tenth less is tried, then the geometric
mean of the largest that fits and the smallest that does not.
"""

import dataclasses
import math

from codefusion.planning import programs


@dataclasses.dataclass(frozen=True)
class Fit:
    """The largest batch that was compiled and fits.

    Attributes:
      batch_size: rows; 0 where none fits.
      peak: its bytes on a device.
      tried: (batch size, peak bytes or None where it does not fit), in order.
    """

    batch_size: int
    peak: int
    tried: tuple[tuple[int, int | None], ...]


def largest_batch(peak_at, *, first, unit, hbm_bytes, known_to_fail=(), tries=4):
    """Returns the `Fit` of the largest batch that is found.

    Args:
      peak_at: batch size -> bytes on a device; raises `CompilationError`.
      first: batch size to begin with, a multiple of `unit`.
      unit: what every batch size is a multiple of.
      hbm_bytes: of a device.
      known_to_fail: batch sizes that need not be tried.
      tries: compilations beyond the two that the estimate needs.
    """
    tried = dict.fromkeys(known_to_fail)

    def fits(batch_size):
        if batch_size not in tried:
            try:
                peak = peak_at(batch_size)
            except programs.CompilationError:
                peak = None
            tried[batch_size] = None if peak is None or peak > hbm_bytes else peak
        return tried[batch_size] is not None

    second = 2 * first if fits(first) else unit
    if not fits(second) and not fits(first):
        return Fit(0, 0, tuple(tried.items()))
    while tries and (candidate := _next(tried, unit, hbm_bytes)):
        fits(candidate)
        tries -= 1
    best = max(size for size, peak in tried.items() if peak is not None)
    return Fit(best, tried[best], tuple(tried.items()))


def _next(tried, unit, hbm_bytes):
    """Returns the batch size to try next, None where nothing is left between."""
    good = sorted(size for size, peak in tried.items() if peak is not None)
    failed = [size for size, peak in tried.items() if peak is None]
    best, ceiling = good[-1], min(failed, default=None)
    found = _estimate(tried, good, hbm_bytes) if len(good) > 1 else ceiling
    if ceiling is not None and found >= ceiling:
        is_close = len(good) > 1 and len(failed) == 1
        found = 0.9 * ceiling if is_close else math.sqrt(best * ceiling)
    found = int(found) // unit * unit
    return found if found > best else None


def _estimate(tried, good, hbm_bytes):
    """Returns where the line through the two largest batches meets the limit."""
    low, high = good[-2:]
    slope = (tried[high] - tried[low]) / (high - low)
    if slope <= 0:
        return 2 * high
    return high + (hbm_bytes - tried[high]) / slope
