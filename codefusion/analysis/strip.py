"""A film as a picture for a paper: the stills of its first draw, one below the other.

Above each program stand the tokens that its noise is nearest to, as far as they fit.
Drawn by matplotlib, the extra `plot`, without its global state.
"""

import importlib.util
import io
import warnings

import numpy as np

from codefusion.analysis import showing

ENDINGS = (".png", ".svg", ".pdf")
# Points, 72 to the inch: the picture is as wide as the text of a page.
_WIDTH, _LEFT, _EDGE = 486.0, 62.0, 6.0
_SIZE = 8.0
_LINE, _GAP = 1.55 * _SIZE, 0.7 * _SIZE
_COLUMN = 0.602 * _SIZE  # an advance of DejaVu Sans Mono, which matplotlib brings
_COLUMNS = int((_WIDTH - _LEFT - _EDGE) / _COLUMN)
_MUTED = "#57606a"
_DOTS = 300
_END = "\u25a0"
_UNDERLINES = {1: (0, (1, 1)), 2: "solid"}
# What would make two pictures of one film differ.
_SETTINGS = {"svg.hashsalt": "codefusion"}
_UNTOLD = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def check_installed():
    """Raises ValueError where matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError(
            "a picture needs matplotlib, which is not installed: pip install "
            "matplotlib (the extra `plot`)."
        )


def write(films, ending):
    """Returns a picture of a film's first draw, bytes.

    Args:
      films: list of one `trajectory.Film`.
      ending: one of `ENDINGS`.
    """
    check_installed()
    import matplotlib
    from matplotlib.figure import Figure

    (film,) = films
    rows = [(still, layout(still.draws[0])) for still in film.stills]
    heights = [_LINE * (2 + placed[-1][0]) + _GAP for _, placed in rows]
    height = sum(heights) + 2 * _LINE
    figure = Figure(figsize=(_WIDTH / 72, height / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    for (still, placed), top in zip(rows, np.cumsum([0, *heights[:-1]]), strict=True):
        label = f"t = {still.t:.3f}"
        axes.text(_EDGE, top + _LINE, label, size=_SIZE, color=_MUTED)
        noise = dict(family="DejaVu Sans Mono", color=_MUTED, parse_math=False)
        axes.text(_LEFT, top + _LINE, fitting(still.noise[0]), size=_SIZE, **noise)
        for token in placed:
            _token(axes, *token, top=top + _LINE)
    _legend(axes, height - 0.6 * _LINE)
    written = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context(_SETTINGS):
        warnings.simplefilter("ignore")  # of signs that the font lacks: they are boxes
        figure.savefig(written, format=ending[1:], dpi=_DOTS, metadata=_UNTOLD[ending])
    return written.getvalue()


def layout(tokens):
    """Returns where tokens stand, (line, column, text, probability) of each.

    Args:
      tokens: `trajectory.Token`s; one that does not fit in a line begins the next.
    """
    placed, line, column = [], 0, 0
    for token in tokens:
        text = showing.visible(token.text.replace("\n", "\u21b5"))
        text = _END if token.is_end else text
        for part in _cut(text):
            width = showing.columns(part)
            if column and column + width > _COLUMNS:
                line, column = line + 1, 0
            placed.append((line, column, part, token.probability))
            column += width
        if "\n" in token.text:
            line, column = line + 1, 0
    return placed or [(0, 0, "", 1.0)]


def fitting(text):
    """Returns as much of a text as fits in one line.

    Args:
      text: str, shown without its line ends.
    """
    text = showing.visible(text)
    while showing.columns(text) > _COLUMNS:
        text = text[:-2] + "\u2026"
    return text


def _cut(text):
    """Returns parts of a text of which each fits in a line, as wide as it may be."""
    most = _COLUMNS // 2
    return [text[i : i + most] for i in range(0, len(text), most)]


def _token(axes, line, column, text, probability, *, top):
    from matplotlib.patches import Rectangle

    x, base = _LEFT + _COLUMN * column, top + _LINE * (line + 1)
    width = _COLUMN * showing.columns(text)
    colour = tuple(level / 255 for level in showing.tint(probability))
    box = (x, base - 0.95 * _SIZE), width, 1.25 * _SIZE
    axes.add_patch(Rectangle(*box, facecolor=colour, linewidth=0))
    axes.text(x, base, text, size=_SIZE, family="DejaVu Sans Mono", parse_math=False)
    style = _UNDERLINES.get(showing.doubt(probability))
    if style:
        below = base + 0.22 * _SIZE
        axes.plot([x, x + width], [below] * 2, color="black", ls=style, lw=0.6)


def _legend(axes, base):
    """Draws the scale of colours and what the underlines say."""
    axes.text(_EDGE, base, "probability", size=0.85 * _SIZE, color=_MUTED)
    for step in range(11):
        text = (
            f"{step / 10:.1f}".replace("0.", ".") if 0 < step < 10 else str(step // 10)
        )
        _token(axes, -1, 5 * step, f"{text:^5}", step / 10, top=base)
