"""The film as a picture: every token is on it, none runs over its edge."""

import sys

import pytest

from codefusion.analysis import showing, strip, trajectory


def token(text, *, is_end=False):
    return trajectory.Token(text, 0.5, text, 0.1, is_end)


def test_tokens_follow_each_other_and_fit_in_their_lines():
    texts = ["word", " " * 7, "x" * 200, "\n", "表" * 50, "ab"] * 3
    placed = strip.layout([token(text) for text in texts])
    assert "".join(part for _, _, part, _ in placed) == "".join(texts).replace(
        "\n", "\u21b5"
    )
    ends = {}
    for line, column, part, _ in placed:
        assert column == ends.get(line, 0)
        ends[line] = column + showing.columns(part)
    assert max(ends.values()) <= strip._COLUMNS
    assert sorted(ends) == list(range(len(ends)))


def test_noise_takes_one_line_and_no_more():
    for text in ("x" * 500, "\u4e2d" * 500):
        fitted = strip.fitting(text)
        assert strip.showing.columns(fitted) <= strip._COLUMNS
        assert fitted.endswith("\u2026") and text.startswith(fitted[:-1])
    assert strip.fitting("a\nb") == "a\\nb"


def test_an_empty_program_still_has_its_end():
    ((line, column, text, _),) = strip.layout([token("", is_end=True)])
    assert (line, column, text) == (0, 0, strip._END)


def test_a_surer_token_is_paler_and_less_underlined():
    probabilities = [0.0, 0.2, 0.5, 0.7, 0.9, 1.0]
    levels = [sum(showing.tint(p)) for p in probabilities]
    assert levels == sorted(levels) and levels[-1] == 3 * 255
    assert [showing.doubt(p) for p in probabilities] == [2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("ending", "opening"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_a_picture_is_written_the_same_each_time(film, ending, opening):
    pytest.importorskip("matplotlib")
    short = film.thinned(2)
    first = strip.write([short], ending)
    assert first.startswith(opening) and first == strip.write([short], ending)


def test_without_matplotlib_there_is_one_line(film, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match="^a picture needs matplotlib.*plot") as error:
        film.save(tmp_path / "film.png")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
