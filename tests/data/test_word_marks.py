"""Marks on words: taken back exactly, and a word has the same pieces everywhere."""

import random

import pytest

from codefusion.data import word_marks
from codefusion.data.tokenizer import Tokenizer

GLUE = word_marks.GLUE
SPACES, LETTERS, OTHERS = [" "] * 4, [*"abZ_", "\u00e9", "\u65e5"], [*"059(\"'.$)-"]
NONCHARACTERS = ["\u2581", "\ufdd0", "\ufdd1", "\ufdd01", "\u00b2", "\n", "\t"]
TEXTS = [
    "highlight cells greater than 25",
    'set the long term assets in "Total assets" to bold',
    "AND(TextStartsWith(A), NOT(TextEquals(Long term assets)))",
    "find . -type f -name '*.py' -exec grep -l 'foo_bar' {} +",
    "sorted(x, key=lambda t: t[1], reverse=True)",
] * 4
BEFORE = ["", " ", "(", '"', "'", "[", "=", "-", ".", " (", "7", "red ", "\n", "f(x, "]
WORDS = ["assets", "Long", "foo_bar", "_private", "zebra", "A", "caf\u00e9", "\u65e5"]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, vocab_size=500, model_type="bpe", word_starts=True)


def random_texts(seed, count, chars):
    """Returns texts of up to 12 of the characters."""
    rng = random.Random(seed)
    return ["".join(rng.choices(chars, k=rng.randrange(13))) for _ in range(count)]


def test_unmarking_takes_marking_back():
    for text in random_texts(0, 20_000, SPACES + LETTERS + OTHERS):
        assert word_marks.unmark(word_marks.mark(text)) == text


def test_every_text_survives_the_tokenizer_even_one_of_marks(tokenizer):
    texts = random_texts(1, 10_000, SPACES + LETTERS + OTHERS + NONCHARACTERS * 2)
    encoded = tokenizer.encode_all(texts)
    assert [tokenizer.decode(ids) for ids in encoded] == texts


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ('set "Yes"', ' set "~ Yes"'),
        ("TextEquals(Yes)", " TextEquals(~ Yes)"),
        (" set", "~ set"),
        ("a5b", " a5~ b"),
        ("  a", "  a"),
        ("25 ( )", "25 ( )"),
        ("snake_case", " snake_case"),
    ],
)
def test_every_word_has_a_space_and_a_mark_where_the_text_has_none(text, marked):
    assert word_marks.mark(text).replace(GLUE, "~") == marked


def test_every_word_follows_a_space():
    for text in random_texts(2, 2_000, SPACES + LETTERS + OTHERS):
        marked = word_marks.mark(text)
        for before, char in zip(marked, marked[1:], strict=False):
            assert char not in LETTERS or before in (" ", *LETTERS)
        assert marked[:1] not in LETTERS


@pytest.mark.parametrize("word", WORDS)
def test_a_word_has_the_same_pieces_wherever_it_stands(tokenizer, word):
    pieces = tokenizer.encode(f"x {word}")[len(tokenizer.encode("x")) :]
    assert tokenizer.decode(pieces) == word
    for before in BEFORE:
        if before == " ":  # A space at the very start is a mark of its own.
            assert tokenizer.encode(" " + word)[1:] == pieces
        ids = tokenizer.encode(before + word)
        assert ids[-len(pieces) :] == pieces, before
        start = tokenizer.encode(before + word + ")")[: len(ids)]
        assert start == ids, before


def test_a_bracket_or_a_quote_takes_the_mark_in(tokenizer):
    for before in ('"', "(", ' "', " ("):
        glued = tokenizer.encode(f"x{before}assets")
        assert len(glued) == len(tokenizer.encode("x")) + 1 + len(
            tokenizer.encode("assets")
        )


def test_offsets_cover_the_text_in_order(tokenizer):
    for text in random_texts(3, 3_000, SPACES + LETTERS + OTHERS + NONCHARACTERS):
        ids, offsets = tokenizer.encode_with_offsets(text)
        assert ids == tokenizer.encode(text) and len(ids) == len(offsets)
        covered = 0
        for start, end in offsets:
            # A mark or a space put in shares a character with the piece beside it.
            assert covered - 1 <= start <= covered <= end and start < end
            covered = end
        assert covered == len(text)


def test_offsets_of_a_word_are_its_characters_and_its_space():
    trained = Tokenizer.train(
        ["assets liabilities"] * 9, vocab_size=400, model_type="bpe", word_starts=True
    )
    for text in ('"assets"', "(assets)", "x assets", "assets", " assets"):
        ids, offsets = trained.encode_with_offsets(text)
        start, end = offsets[ids.index(trained.encode("assets")[0])]
        assert text[start:end].lstrip() == "assets"


def test_the_owner_of_a_mark_is_before_it_and_that_of_a_space_put_in_after_it():
    text = 'a"b'
    marked, owners = word_marks.mark_owners(text, list(text))
    assert marked == f' a"{GLUE} b'
    assert owners == ["a", "a", '"', '"', "b", "b"]


def test_owners_are_given_in_order_and_none_is_left_out():
    for text in random_texts(4, 3_000, SPACES + LETTERS + OTHERS):
        marked, owners = word_marks.mark_owners(text, list(range(len(text))))
        assert marked == word_marks.mark(text) and len(marked) == len(owners)
        assert owners == sorted(owners) and set(owners) == set(range(len(text)))


@pytest.mark.parametrize(
    ("text", "unmarked"),
    [
        (GLUE, ""),
        (f"a{GLUE}b", "ab"),
        (f"a{GLUE}", "a"),
        (f"a{GLUE} 5", "a 5"),
        (f"({GLUE}{GLUE} b", "(b"),
        (f"({GLUE}  b", "(  b"),
    ],
)
def test_marks_that_make_no_sense_are_dropped(text, unmarked):
    assert word_marks.unmark(text) == unmarked


def test_no_text_holds_a_mark_after_unmarking():
    for text in random_texts(5, 5_000, SPACES + LETTERS + OTHERS + [GLUE] * 8):
        assert GLUE not in word_marks.unmark(text)


def test_pieces_at_random_decode_to_text_without_marks(tokenizer):
    rng = random.Random(6)
    for _ in range(1_000):
        ids = [rng.randrange(261, tokenizer.vocab_size) for _ in range(8)]
        assert GLUE not in tokenizer.decode(ids)


def test_word_starts_and_separate_spaces_are_not_for_the_same_tokenizer():
    with pytest.raises(ValueError, match="word_starts and tokenizer.separate_spaces"):
        Tokenizer.train(TEXTS, word_starts=True, separate_spaces=True)


def test_a_saved_tokenizer_still_marks_words(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.model")
    loaded = Tokenizer.load(tmp_path / "tokenizer.model")
    text = 'set "assets"'
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.decode(loaded.encode(text)) == text
