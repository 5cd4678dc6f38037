"""A film tells what the model drew, token by token."""

import random
import types

import numpy as np
import pytest

from codefusion.analysis import trajectory
from codefusion.data.tokenizer import EOS_ID, PAD_ID, Tokenizer
from codefusion.drawing import Trajectory

PROGRAMS = ["TextEquals(Yes)", 'print("\u00e9\U0001f642")', "a = b\n", "AND(x, y)"]
LENGTH = 48


@pytest.fixture(scope="module")
def tokenizer():
    """A tokenizer with marks, bytes and everything else that joins pieces."""
    return Tokenizer.train(PROGRAMS * 3, vocab_size=360, word_starts=True)


def test_pieces_joined_are_the_text_whatever_the_tokens(tokenizer):
    rng = random.Random(0)
    for _ in range(200):
        ids = [rng.randrange(4, tokenizer.vocab_size) for _ in range(12)]
        found = trajectory.pieces(tokenizer, ids)
        assert len(found) == len(ids)
        assert "".join(found) == tokenizer.decode(ids)


def test_a_character_of_several_tokens_belongs_to_the_last(tokenizer):
    ids = tokenizer.encode("\U0001f680")
    assert trajectory.pieces(tokenizer, ids)[-4:] == ["", "", "", "\U0001f680"]


def model_of(tokenizer, programs):
    """Returns a stand-in for a Generator that turns the first program into the rest.

    Args:
      tokenizer: a `Tokenizer`.
      programs: of each step, a list of the texts of its draws.
    """
    steps = [[[*tokenizer.encode(text), EOS_ID] for text in row] for row in programs]
    tokens = np.full((len(steps), len(steps[0]), LENGTH), PAD_ID, np.int32)
    for index in np.ndindex(tokens.shape[:2]):
        row = steps[index[0]][index[1]]
        tokens[(*index, slice(len(row)))] = row
    flat = np.full(tokens.shape, 0.5, np.float32)
    found = Trajectory(tokens, np.log(flat), tokens, flat, tokens[::-1])

    def run(utterance, *, num_draws, **choices):
        kept = Trajectory(*(leaf[:, :num_draws] for leaf in found))
        return np.linspace(1, 0.1, len(tokens)), kept

    config = types.SimpleNamespace(
        inference=types.SimpleNamespace(num_draws=len(steps[0])),
        sampler=types.SimpleNamespace(name="ddim"),
    )
    return types.SimpleNamespace(
        tokenizer=tokenizer, trajectory=run, config=config, step=7
    )


def test_a_film_reads_each_draw_at_each_step(tokenizer):
    programs = [[PROGRAMS[0], PROGRAMS[1]], ["", PROGRAMS[2]], PROGRAMS[2:]]
    film = trajectory.film(model_of(tokenizer, programs), "a", num_draws=2)
    for draw in range(2):
        assert film.texts(draw) == [row[draw] for row in programs]
    assert [still.step for still in film.stills] == [1, 2, 3]
    assert film.names == ("draw 1", "draw 2")
    for still in film.stills:
        for tokens in still.draws:
            assert [token.is_end for token in tokens] == [False] * (len(tokens) - 1) + [
                True
            ]
            assert {token.probability for token in tokens} == {0.5}
    assert film.stills[1].noise == ("", PROGRAMS[2])
    empty = film.stills[1].draws[0]
    assert [token.nearest for token in empty] == ["</s>"]


def test_draws_that_became_candidates_come_first(tokenizer):
    programs = [["TextEquals(Yes)", "AND(x, y)", "a = b", "AND(x, y)"]] * 2
    model = model_of(tokenizer, programs)
    candidates = ["AND(x, y)", "AND(x, y)", "a repair", "TextEquals(Yes)"]
    film = trajectory.film(model, "a", num_draws=3, candidates=candidates)
    assert film.names == ("candidate 1 (draw 2)", "candidate 3 (draw 1)", "draw 3")


def test_a_film_of_many_steps_keeps_the_ends_and_few_between(tokenizer):
    programs = [[str(number)] for number in range(30)]
    film = trajectory.film(model_of(tokenizer, programs), "a", num_draws=1, stills=5)
    steps = [still.step for still in film.stills]
    assert len(steps) == 5 and (steps[0], steps[-1]) == (1, 30)
    assert [frame.text for frame in film.frames(2)] == ["0", "29"]
    assert film.thinned(50) == film


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(1, 9, [0]), (5, 2, [0, 4]), (3, 9, [0, 1, 2]), (7, 3, [0, 3, 6])],
)
def test_steps_are_chosen_evenly(total, count, expected):
    assert trajectory.evenly(total, count) == expected


def test_several_films_are_one_page_or_pictures_with_numbers(
    tokenizer, tmp_path, monkeypatch
):
    films = [trajectory.film(model_of(tokenizer, [["a"]] * 9), "b", num_draws=1)] * 2
    (page,) = trajectory.save(films, tmp_path / "film.html")
    assert page.read_text().count('class="film"') == 2
    monkeypatch.setattr(trajectory.strip, "check_installed", lambda: None)
    seen = []
    monkeypatch.setitem(
        trajectory._WRITERS, ".png", lambda part, ending: seen.append(part) or b"x"
    )
    paths = trajectory.save(films, tmp_path / "film.png")
    assert [path.name for path in paths] == ["film-1.png", "film-2.png"]
    assert [len(part) for part in seen] == [1, 1]


def test_a_film_goes_into_no_other_file():
    with pytest.raises(ValueError, match=r"'film.gif' is no .*expected .*\.html"):
        trajectory.writer("film.gif")
