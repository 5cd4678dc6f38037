import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codefusion.data import cf_language
from codefusion.data.cf_language import Call, Column, Number, Reference, Text

RELEASED_NON_RULES = {"train": 3, "test": 5}

numbers = st.floats(allow_nan=False, allow_infinity=False).map(Number)
texts = st.text(max_size=20).map(lambda text: Text(text.strip()))
subjects = st.none() | st.integers(0, 30).map(Column)
conditions = st.one_of(
    st.builds(
        lambda name, text, subject: Call(name, (text,), subject),
        st.sampled_from(("TextEquals", "TextContains", "TextStartsWith")),
        texts,
        subjects,
    ),
    st.builds(
        lambda name, number, subject: Call(name, (number,), subject),
        st.sampled_from(("GreaterThan", "NotEquals", "Top", "BottomPercent")),
        numbers,
        subjects,
    ),
    st.builds(lambda low, high: Call("Between", (low, high)), numbers, numbers | texts),
    subjects.map(lambda subject: Call("Blanks", (), subject)),
)
rules = st.recursive(
    conditions,
    lambda parts: st.one_of(
        st.lists(parts, min_size=1, max_size=3).map(lambda p: Call("AND", tuple(p))),
        st.lists(parts, min_size=1, max_size=3).map(lambda p: Call("OR", tuple(p))),
        parts.map(lambda part: Call("NOT", (part,))),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(rules)
def test_the_text_of_a_tree_parses_to_that_tree(tree):
    assert cf_language.parse(cf_language.to_text(tree)) == tree


@settings(max_examples=300, deadline=None)
@given(st.text() | rules.map(cf_language.to_text))
def test_tokens_join_to_the_text_whatever_it_is(text):
    tokens = cf_language.lex(text)
    assert "".join(token.text for token in tokens) == text
    assert all(text[t.start : t.end] == t.text and t.text for t in tokens)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="AND(OR)NOTtop1%,.\"'c[] $TextEquals-e", max_size=60))
def test_any_text_either_parses_or_raises_a_positioned_value_error(text):
    try:
        cf_language.parse(text)
    except ValueError as error:
        assert str(error).startswith("at character ")
        assert not cf_language.is_valid(text)
    else:
        assert cf_language.is_valid(text)


@pytest.mark.parametrize(
    "one, other",
    [
        ("top(10%)", "TopPercent(10)"),
        ("Bottom(c[1])", "bottom(c[1], 1)"),
        ("Duplicate()", "duplicates( )"),
        ("StartsWith(c[0], 'A')", 'TextStartsWith(c[0],"A")'),
        ("Not(Equals(c[2], 0))", "NOT(Equals(c[2],0.0))"),
        ("GreaterThanEquals(3)", "GreaterThanOrEqual( 3 )"),
        ("aboveAverage()", "AboveAverage()"),
        ("GreaterThan(80%)", "greaterthan(0.8)"),
        ("EndsWith(X)", "TextEndsWith( X )"),
    ],
)
def test_spellings_of_one_rule_have_one_tree(one, other):
    assert cf_language.parse(one) == cf_language.parse(other)


@pytest.mark.parametrize(
    "rule, text",
    [
        ("TextContains(Long term assets)", "Long term assets"),
        ("TextEquals(TRAFFIC SIGNALS (Two-Way))", "TRAFFIC SIGNALS (Two-Way)"),
        ("TextContains(Non-pooled, en)", "Non-pooled, en"),
        ("TextContains(()", "("),
        ("TextEquals()", ""),
        ('TextEquals("a)b")', "a)b"),
        ("TextEquals('it''s')", "it's"),
        ("TextContains(適)", "適"),
        ("TextEquals(AND(x))", "AND(x)"),
    ],
)
def test_a_text_argument_is_taken_as_written(rule, text):
    assert cf_language.parse(rule).arguments == (Text(text),)


def test_columns_lengths_and_addresses_are_nodes():
    length = Call("LEN", (), Column(0))
    assert cf_language.parse("GreaterThan(LEN(c[0]), 6)").subject == length
    assert cf_language.parse("LessThan(c[2], c[1])").arguments == (Column(1),)
    assert cf_language.parse("TextEquals($d$9)").arguments == (Reference("$D$9"),)
    assert cf_language.parse("GreaterThan(13 Days)").arguments == (Text("13 Days"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--",
        "banana(3)",
        "GreaterThan()",
        "GreaterThan(banana)",
        "GreaterThan(1, 2, 3)",
        "Between(1)",
        "Between(1,2,3,4)",
        "TextEquals(a",
        "TextEquals(a))",
        "TextEquals(c[1])",
        "GreaterThan(2) or so",
        "AND()",
        "AND(Blanks(),)",
        "NOT(Blanks(), Blanks())",
        "NOT(ColorScale())",
        "GreaterThan(Blanks())",
        "LEN(c[0])",
        "ColorScale(3)",
        "top(a)",
        "top(1e999)",
        "NOT(" * 5000 + "Blanks()" + ")" * 5000,
    ],
)
def test_what_is_no_rule_is_not_valid(text):
    assert not cf_language.is_valid(text)


def test_an_error_says_where_and_what_is_expected():
    with pytest.raises(ValueError, match=r"^at character 4: found 'blah\(x\)\)'"):
        cf_language.parse("NOT(blah(x))")
    with pytest.raises(ValueError, match=r"^at character 18: .*expected ',' or '\)'"):
        cf_language.parse("NOT(TextEquals(a) x)")


def test_token_kinds_follow_the_role_in_the_rule():
    tokens = cf_language.lex("AND(top(10%), NOT(TextEquals(NOT top)), c[2], -5 'a')")
    kinds = [(t.kind, t.text) for t in tokens if t.kind not in ("punct", "whitespace")]
    assert kinds == [
        ("keyword", "AND"),
        ("function", "top"),
        ("percent", "10%"),
        ("keyword", "NOT"),
        ("function", "TextEquals"),
        ("word", "NOT"),
        ("word", "top"),
        ("column", "c[2]"),
        ("number", "-5"),
        ("string", "'a'"),
    ]


def test_every_released_rule_that_is_one_parses_needs_data(data_dir):
    path = data_dir / "codefusion-prose" / "CFRuleBenchmarks.json.gz"
    rows = json.loads(gzip.decompress(path.read_bytes()))
    for split, refused in RELEASED_NON_RULES.items():
        codes = [row["Code"].strip() for row in rows[split]]
        assert sum(not cf_language.is_valid(code) for code in codes) == refused


def test_every_corpus_rule_but_one_parses_needs_data(data_dir):
    path = data_dir / "codefusion-prose" / "ConditionalFormattingSnippets.txt.gz"
    lines = set(gzip.decompress(path.read_bytes()).decode().splitlines()) - {""}
    refused = [line for line in lines if not cf_language.is_valid(line)]
    assert refused == ["OR(TextEquals(0),OR())"]
