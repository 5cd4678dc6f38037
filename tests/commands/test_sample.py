"""What `codefusion sample` shows a person."""

import io
import json

import pytest
from rich.console import Console

from codefusion import main
from codefusion.commands import sample
from codefusion.inference import Candidate


def shown(*candidates):
    """Returns the lines of an answer."""
    out = io.StringIO()
    sample.show(Console(file=out, width=80), "a request", candidates, [])
    return [" ".join(line.split()) for line in out.getvalue().splitlines() if line]


def test_candidates_come_by_rank():
    lines = shown(Candidate("Blank()", -0.1), Candidate("Unique()", -0.5))
    assert lines == ["a request", "1. -0.100 Blank()", "2. -0.500 Unique()"]


def test_an_empty_candidate_is_seen_but_stays_empty_in_json():
    empty, blank = Candidate("", -0.1), Candidate(" ", -0.5)
    assert shown(empty, blank, empty)[1:] == [
        "1. -0.100 (empty) (2 times)",
        "2. -0.500 (empty)",
    ]
    line = sample.as_json("a request", [empty], [], seed=0)
    assert json.loads(line)["candidates"][0]["text"] == ""


def test_a_text_that_several_draws_agree_on_is_shown_once():
    same = Candidate("Blank()", -0.1)
    lines = shown(same, Candidate("Unique()", -0.5), same, same)
    assert lines[1:] == ["1. -0.100 Blank() (3 times)", "2. -0.500 Unique()"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], False),
        (["--show_denoising"], True),
        (["--noshow_denoising"], False),
        (["--show_denoising=true"], True),
        (["--show_denoising=0"], False),
        (["--show_denoising=a/film.HTML"], "a/film.HTML"),
    ],
)
def test_denoising_is_shown_here_or_in_a_file(words, expected):
    parsed = main.parse("sample", [*words, "a request"])
    assert parsed.flags.show_denoising == expected
    assert parsed.words == ("a request",)


def test_a_film_in_an_unknown_kind_of_file_is_refused_in_one_line(capsys):
    assert main.main(["codefusion", "sample", "--show_denoising=film.gif", "a"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected" in error and ".html" in error and "film.gif" in error
