"""The terminal's film, and the lines that stay."""

import io

import pytest
from rich.console import Console

from codefusion.analysis.trajectory import Film, Still, Token
from codefusion.commands import denoising


def film():
    """A film of two steps: one token becomes sure."""
    stills = [
        Still(1, 1.0, ((Token("gre\x07p", 0.2, "find", 0.9, False),),), ("w\x07c",)),
        Still(2, 0.5, ((Token("find", 0.95, "find", 0.1, False),),), ("find",)),
    ]
    return Film("a request", "", ("draw 1",), tuple(stills))


def played(**settings):
    """Returns what a terminal is sent while the film plays."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, **settings)
    denoising.play(console, film(), seconds=0.0)
    return out.getvalue()


def test_a_film_plays_and_leaves_the_cursor():
    sent = played(color_system="truecolor")
    assert "gre\\x07p" in sent and "find" in sent and "\x07" not in sent
    assert "w\\x07c" in sent
    assert sent.index("step    1") < sent.index("step    2")
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")
    assert sent.index("\x1b[?25h") < sent.index("step    1")


@pytest.mark.parametrize(
    ("probability", "looks"),
    [(0.2, (False, True)), (0.7, (True, False)), (0.95, (False, False))],
)
def test_without_colour_an_unsure_token_still_differs(probability, looks):
    text = denoising.tinted([Token("x", probability, "x", 0.0, False)])
    (span,) = text.spans or [None]
    found = (span.style.italic, span.style.underline) if span else (False, False)
    assert tuple(map(bool, found)) == looks


def test_a_film_gives_the_lines_that_stay():
    frames = film().frames(2)
    assert [frame.text for frame in frames] == ["gre\x07p", "find"]
    assert [frame.noise for frame in frames] == ["w\x07c", "find"]
