"""Spans are the identifiers and keywords of a program, in characters of its text."""

import random

import hypothesis
import pytest
from hypothesis import strategies as st

from codefusion.data.spans import mask_spans

PLANES = [0x20, 0xA0, 0x400, 0x3000, 0xE000, 0x1F000, 0x50000, 0xF0000, 0x10F000]
LANGUAGES = ["python", "bash", "cf", "sql"]
snippets = st.text(max_size=40) | st.text(
    "ab1 \u00e9=-$(){}[]\"'|;<>\n\\#,.:", max_size=40
)


def words(code, language):
    return [code[start:end] for start, end in mask_spans(code, language)]


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "x = sorted(y, reverse=True)", "x sorted y reverse True"),
        ("python", "def f(a): return 3 if a is not None else 'a'", None),
        ("python", "import os.path as p", "import os path as p"),
        ("python", "print '\u00e9', caf\u00e9, 1.5", "print caf\u00e9"),
        ("bash", "find . -name '*.py' --color=auto", "find -name --color"),
        ("bash", "for f in *; do mv $f x; done", "for f in do mv f done"),
        ("bash", "if [[ -d a ]]; then ls; fi", "if -d then ls fi"),
        ("bash", "echo '\u00e9' && A=3 make -j4", "echo A make -j4"),
        ("sql", "SELECT a FROM t WHERE b > 3", "SELECT a FROM t WHERE b"),
    ],
)
def test_spans_are_identifiers_and_keywords_but_no_literals(language, code, expected):
    if expected is None:
        expected = "def f a return if a is not None else"
    assert words(code, language) == expected.split()


def test_spans_of_a_rule_are_its_functions_but_not_its_values():
    found = words("AND(TextContains(Yes), NOT(GreaterThan(25)))", "cf")
    assert found == ["AND", "TextContains", "NOT", "GreaterThan"]


def test_a_lone_dash_is_no_flag():
    assert words("cat - --", "bash") == ["cat"]


def test_spans_that_overlap_are_one():
    assert mask_spans("-x=3 'a'", "bash") == [(0, 4)]


@pytest.mark.parametrize("language", LANGUAGES)
@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(code=snippets)
def test_spans_of_any_text_are_sorted_disjoint_and_inside(language, code):
    spans = mask_spans(code, language)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= start < end <= len(code) for start, end in spans)


@pytest.mark.parametrize("language", ["python", "bash"])
def test_a_broken_program_still_has_spans(language):
    assert "foo" in words("foo $(bar ((( '", language)


@pytest.mark.parametrize("language", ["python", "bash"])
def test_deep_nesting_is_no_error(language):
    assert words("(" * 20_000 + "foo", language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_characters_of_every_plane_are_no_error(language):
    rng = random.Random(0)
    for _ in range(1000):
        chars = [chr(rng.choice(PLANES) + rng.randrange(0x1000)) for _ in range(15)]
        mixed = [
            c if rng.random() < 0.4 else rng.choice("ab $(){}[]<|=-") for c in chars
        ]
        mask_spans("".join(mixed), language)


def test_characters_outside_ascii_shift_no_span():
    assert words("ls '\u65e5\U0001f642' --all | caf\u00e9 -v", "bash") == [
        "ls",
        "--all",
        "caf\u00e9",
        "-v",
    ]


def test_an_unknown_language_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match="'klingon'; expected one of .*'bash'"):
        mask_spans("x", "klingon")
