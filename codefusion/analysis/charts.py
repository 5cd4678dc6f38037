"""What a chart shows, apart from how it is drawn: by `svg` or by `pictures`."""

import math
from typing import NamedTuple

# A hue each that colour-blind readers tell apart (Okabe and Ito 2008), on white and on
# black, and a dash each, so that none needs the colour.
COLOURS = (
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff9a52"),
    ("#007a5a", "#35c79c"),
    ("#a6508a", "#e39ac3"),
    ("#8a6d00", "#e6c34a"),
    ("#4a4f57", "#b4bcc8"),
)
DASHES = ((), (6, 3), (2, 2), (8, 3, 2, 3), (10, 4), (4, 2, 1, 2))
MAX_POINTS = 400
_NEAR_ZERO = 0.6
# Fewer points than this are marked, each by itself.
FEW_POINTS = 25


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
      name: what it is.
      points: (x, y) in order; a y of None breaks the line.
      spreads: (low, high) of each point, or () where there is none.
    """

    name: str
    points: tuple[tuple[float, float | None], ...]
    spreads: tuple[tuple[float, float], ...] = ()


class Chart(NamedTuple):
    """Lines over a common axis.

    Attributes:
      key: name of its file.
      title: what it shows.
      x_label, y_label: of the axes.
      lines: `Line`s, at most as many as there are `COLOURS`.
      is_log_x, is_log_y: whether an axis is logarithmic; all its values are positive.
      borders: (x, text) of what begins there.
      note: a sentence below, or "".
    """

    key: str
    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    is_log_x: bool = False
    is_log_y: bool = False
    borders: tuple[tuple[float, str], ...] = ()
    note: str = ""


class Axis(NamedTuple):
    """From values to a share of an axis's length.

    Attributes:
      low, high: its ends.
      ticks: values that are named.
      is_log: whether it is logarithmic.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool

    def share(self, value):
        """Returns where a value lies, 0 at the low end and 1 at the high."""
        low, high, value = (
            map(math.log, (self.low, self.high, value))
            if self.is_log
            else (self.low, self.high, value)
        )
        return (value - low) / (high - low)


def lines(xs, named_ys):
    """Returns the `Line`s of several functions of one variable, a tuple.

    Args:
      xs: numbers, a sequence or array.
      named_ys: {name: values at xs}.
    """
    xs = [float(x) for x in xs]
    return tuple(
        Line(name, tuple(zip(xs, map(float, ys), strict=True)))
        for name, ys in named_ys.items()
    )


def axes(chart):
    """Returns the (x, y) `Axis` of a chart."""
    points = [point for line in chart.lines for point in line.points]
    xs = [x for x, y in points if y is not None]
    ys = [y for _, y in points if y is not None]
    ys += [end for line in chart.lines for spread in line.spreads for end in spread]
    across = axis(xs, is_log=chart.is_log_x)
    inside = tuple(t for t in across.ticks if min(xs) <= t <= max(xs))
    if min(xs) < max(xs) and len(inside) > 1:
        across = Axis(min(xs), max(xs), inside, across.is_log)
    return across, axis(ys, is_log=chart.is_log_y)


def axis(values, *, is_log=False):
    """Returns the `Axis` from one round value to another that holds all values.

    Args:
      values: list of float, not empty; positive where the axis is logarithmic.
      is_log: whether it is.
    """
    low, high = min(values), max(values)
    if is_log:
        ticks = _log_ticks(low, high)
        return Axis(ticks[0], ticks[-1], ticks, True)
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    if 0 < low < _NEAR_ZERO * high:  # so that heights may be compared
        low = 0.0
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(step * i for i in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, False)


def named(value):
    """Returns a tick's value as text: 0.001, 250, 10k, 2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            unit = 1e3 if letter == "k" else size
            return f"{value / unit:g}{letter}"
    return f"{value:.6g}"


def thinned(points, most=MAX_POINTS):
    """Returns at most so many points: the means of equal runs of them.

    Args:
      points: (x, y) in order, y a float.
      most: a number.
    """
    size = -(-len(points) // most)
    runs = [points[i : i + size] for i in range(0, len(points), size)]
    return tuple(
        tuple(sum(values) / len(run) for values in zip(*run, strict=True))
        for run in runs
    )


def _round_step(step):
    """Returns the smallest of 1, 2, 5, 10, 20, ... that is no less than a step."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))


def _log_ticks(low, high):
    """Returns 1, 2, 5 of each power of ten around the values, or the powers alone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    every = [m * 10.0**power for power in range(first, last + 1) for m in steps]
    below = [tick for tick in every if tick <= low * (1 + 1e-9)]
    above = [tick for tick in every if tick >= high * (1 - 1e-9)]
    start, end = every.index(below[-1]), every.index(above[0])
    return tuple(every[start : max(end, start + 1) + 1])
