"""Validity gives a verdict on any text whatever, and the right one on plain cases."""

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codefusion.data import datasets, syntax

VALID = {
    "bash": ["ls -l | wc", "for i in a; do b; done", "echo 'x y' > z"],
    "python": ["x = [1, 2]", "def f():\n    return 1", "print('é')", "'\\d'"],
    "cf": ["GreaterThan(25)", "AND(TextContains(a), NOT(Blanks()))"],
}
INVALID = {
    "bash": ["ls |", "echo 'x", "(ls", "if a; then b", "a && "],
    "python": ["x = [1,", "def f(", "return return", "  x\n y", "print 1", "1" * 5000],
    "cf": ["GreaterThan(", "Frobnicate(3)", "ls -l", "AND("],
}
HOSTILE = [
    "(" * 9000,
    "[" * 300 + "]" * 300,
    "-" * 9000 + "1",
    "not " * 2000 + "x",
    "1" + "+1" * 4000,
    "x" + ".x" * 4000,
    "lambda:" * 1400 + "0",
    "$(" * 4000,
    "{" * 9000,
    "NOT(" * 2000 + "Blanks()" + ")" * 2000,
    "a" * 10**6,
]
NO_TEXT = ["", " \n", "x\0", "\0", "\ud800", "x = '\udfff'"]


@pytest.mark.parametrize("language", syntax.LANGUAGES)
def test_programs_are_valid_and_broken_ones_are_not(language):
    for text in VALID[language]:
        assert syntax.is_valid(text, language), text
    for text in INVALID[language]:
        assert not syntax.is_valid(text, language), text


@pytest.mark.parametrize("language", syntax.LANGUAGES)
def test_what_is_no_text_is_no_program(language):
    for text in NO_TEXT:
        assert not syntax.is_valid(text, language)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_depth_and_length_are_no_program(text):
    assert not syntax.is_valid(text, "python")
    assert not syntax.is_valid(text, "cf")
    # Bash takes some of these for one long word.
    assert syntax.is_valid(text, "bash") in (True, False)


def test_the_parser_of_python_is_never_asked_about_hostile_depth(monkeypatch):
    asked = []
    monkeypatch.setattr(syntax.ast, "parse", asked.append)
    for text in HOSTILE:
        syntax.is_valid(text, "python")
    assert all(syntax.is_shallow(syntax.parse(text, "python")) for text in asked)
    assert "1" + "+1" * 4000 not in asked


@pytest.mark.parametrize("language", syntax.LANGUAGES)
@settings(max_examples=200, deadline=None)
@given(
    text=st.one_of(
        st.text(), st.text(alphabet="()[]{}'\"\\\n :=,|;$a1 AND", max_size=80)
    )
)
def test_every_text_gets_a_verdict(language, text):
    assert syntax.is_valid(text, language) in (True, False)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="()[]{}'\"\\\n :=,|;-~+.%f$a1", max_size=100))
def test_short_python_is_never_deep(text):
    half = syntax.MAX_DEPTH // 2
    for short in (text[:half], (text[:3] * half)[:half]):
        assert syntax.is_shallow(syntax.parse(short, "python"))


def test_warnings_about_a_prediction_are_silenced():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert syntax.is_valid("x = '\\d' is 1", "python")


@pytest.mark.parametrize(
    "error", [RecursionError, MemoryError, ValueError, SyntaxError]
)
def test_whatever_the_parser_of_python_raises_counts_as_invalid(error, monkeypatch):
    def fail(text):
        raise error

    monkeypatch.setattr(syntax.ast, "parse", fail)
    assert not syntax.is_valid("x", "python")


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="'java'; expected one of"):
        syntax.is_valid("x", "java")


def test_29_released_bash_references_have_an_error_node_needs_data(data_dir):
    nl2bash = datasets.DATASETS["nl2bash"](scheme="released", data_dir=data_dir)
    codes = [example.code for example in nl2bash.examples("test")]
    broken = [code for code in codes if not syntax.is_valid(code, "bash")]
    assert (len(broken), len(codes)) == (29, 2522)
