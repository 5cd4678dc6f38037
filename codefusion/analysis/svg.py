"""A chart as SVG inside a page: the page's style colours it, light or dark."""

import html

from codefusion.analysis import charts

_WIDTH, _HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 10, 38


def style():
    """Returns the CSS of the lines, for both schemes."""
    light, dark, dashes = [], [], []
    for i, ((day, night), dash) in enumerate(
        zip(charts.COLOURS, charts.DASHES, strict=True)
    ):
        light.append(f"--line-{i}:{day};")
        dark.append(f"--line-{i}:{night};")
        dashes.append(
            f".line-{i}{{stroke:var(--line-{i});"
            f"stroke-dasharray:{' '.join(map(str, dash)) or 'none'}}}"
            f".dot-{i}{{fill:var(--line-{i})}}"
        )
    return (
        f":root{{{''.join(light)}}}"
        f"@media (prefers-color-scheme: dark){{:root{{{''.join(dark)}}}}}"
        f"{''.join(dashes)}"
    )


def figure(chart):
    """Returns a chart with its title, legend and last values, HTML.

    Args:
      chart: a `charts.Chart`.
    """
    legend = "".join(_entry(i, line) for i, line in enumerate(chart.lines))
    note = f'<p class="note">{html.escape(chart.note)}</p>' if chart.note else ""
    title = html.escape(chart.title)
    return f"""<figure id="{html.escape(chart.key)}">
<figcaption>{title}</figcaption>
<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">
{_drawing(chart)}
</svg>
<ul class="lines">{legend}</ul>{note}
</figure>
"""


def _entry(number, line):
    """Returns a line's name, sample and last value."""
    last = next(y for _, y in reversed(line.points) if y is not None)
    return (
        '<li><svg class="key" viewBox="0 0 28 8" aria-hidden="true">'
        f'<path class="line-{number}" d="M0 4H28"/></svg> {html.escape(line.name)}'
        f' <span class="last">{last:.4g}</span></li>'
    )


def _drawing(chart):
    across, up = charts.axes(chart)

    def place(x, y):
        width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        left = _LEFT + width * across.share(x)
        return f"{left:.1f} {_TOP + height * (1 - up.share(y)):.1f}"

    parts = [_grid(chart, across, up, place)]
    parts += [_border(x, text, up, place) for x, text in chart.borders]
    parts += [_line(i, line, place) for i, line in enumerate(chart.lines)]
    return "\n".join(parts)


def _grid(chart, across, up, place):
    """Returns the ticks of both axes and their names."""
    parts = []
    for tick in up.ticks:
        x, y = place(across.low, tick).split()
        parts.append(f'<path class="grid" d="M{x} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 6, float(y) + 4, charts.named(tick), "end"))
    for tick in across.ticks:
        x, y = place(tick, up.low).split()
        parts.append(f'<path class="grid" d="M{x} {y}v4"/>')
        parts.append(_text(x, float(y) + 16, charts.named(tick), "middle"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, _HEIGHT - 4, chart.x_label, "middle"))
    centre = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = f' transform="rotate(-90 12 {centre})"'
    parts.append(_text(12, centre, chart.y_label, "middle", turned))
    return "\n".join(parts)


def _border(x, text, up, place):
    left, top = place(x, up.high).split()
    bottom = place(x, up.low).split()[1]
    name = _text(float(left) + 4, float(top) + 12, text, "start")
    return f'<path class="border" d="M{left} {top}V{bottom}"/>{name}'


def _line(number, line, place):
    """Returns a line, its marks where it has few points, and its spreads."""
    path, is_open = [], False
    for x, y in line.points:
        if y is not None:
            path.append(("L" if is_open else "M") + place(x, y))
        is_open = y is not None
    parts = [f'<path class="line-{number}" d="{"".join(path)}"/>']
    if len(line.points) <= charts.FEW_POINTS:
        for x, y in line.points:
            if y is not None:
                at, down = place(x, y).split()
                told = f"{line.name}: {y:.4g} at {x:.4g}"
                parts.append(
                    f'<circle class="dot-{number}" cx="{at}" cy="{down}" r="3">'
                    f"<title>{html.escape(told)}</title></circle>"
                )
    for (x, _), (low, high) in zip(line.points, line.spreads, strict=False):
        parts.append(
            f'<path class="spread line-{number}" '
            f'd="M{place(x, low)}L{place(x, high)}"/>'
        )
    return "\n".join(parts)


def _text(x, y, text, anchor, more=""):
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{html.escape(text)}</text>'
    )
