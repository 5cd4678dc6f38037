"""A chart as a picture by matplotlib, the extra `plot`, without its global state."""

import importlib.util
import io

from codefusion.analysis import charts

_SIZE = (5.0, 3.2)  # inches
_DOTS = 200


def is_possible():
    """Returns whether matplotlib is installed, bool."""
    return importlib.util.find_spec("matplotlib") is not None


def png(chart):
    """Returns a chart as the bytes of a PNG.

    Args:
      chart: a `charts.Chart`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
    axes = figure.add_subplot(
        title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label
    )
    for number, line in enumerate(chart.lines):
        _line(axes, number, line)
    for x, text in chart.borders:
        axes.axvline(x, color="0.6", lw=0.8)
        axes.annotate(text, (x, 1), xycoords=("data", "axes fraction"), fontsize=7)
    for across, axis in zip((True, False), charts.axes(chart), strict=True):
        _ticks(axes, across, axis)
    axes.grid(color="0.9")
    axes.legend(frameon=False, fontsize=8)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=_DOTS, metadata={"Software": None})
    return written.getvalue()


def _line(axes, number, line):
    missing = float("nan")
    xs = [x for x, _ in line.points]
    ys = [missing if y is None else y for _, y in line.points]
    dash = charts.DASHES[number]
    few = len(xs) <= charts.FEW_POINTS
    look = dict(
        color=charts.COLOURS[number][0],
        linestyle=(0, dash) if dash else "solid",
        marker="o" if few else None,
        markersize=3,
        linewidth=1.4,
        label=line.name,
        clip_on=False,  # of marks at the very edge
    )
    axes.plot(xs, ys, **look)
    if line.spreads:
        lows, highs = zip(*line.spreads, strict=True)
        axes.vlines(xs, lows, highs, color=look["color"], linewidth=1, clip_on=False)


def _ticks(axes, is_x, axis):
    """Gives an axis of matplotlib the ends and the ticks of ours."""
    name = "x" if is_x else "y"
    if axis.is_log:
        getattr(axes, f"set_{name}scale")("log")
    getattr(axes, f"set_{name}lim")(axis.low, axis.high)
    labels = [charts.named(tick) for tick in axis.ticks]
    getattr(axes, f"set_{name}ticks")(axis.ticks, labels)
    getattr(axes, f"{name}axis").minorticks_off()
