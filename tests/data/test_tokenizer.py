"""The tokenizer gives back every text, byte for byte, and never a control id."""

import gzip
import json
import random

import hypothesis
import numpy as np
import pytest
import sentencepiece
from hypothesis import strategies as st

from codefusion.data import tokenizer as tokenizer_lib
from codefusion.data.tokenizer import (
    BOS_ID,
    EOS_ID,
    MASK_ID,
    PAD_ID,
    UNK_ID,
    Tokenizer,
)

TEXTS = [
    "highlight cells greater than 25",
    "GreaterThan(25)",
    "AND(TextStartsWith(A), NOT(TextEquals(Long term assets)))",
    "find . -type f -name '*.py' -exec grep -l 'foo bar' {} +",
    'for f in *.txt; do mv "$f" "${f%.txt}.md"; done',
    "sorted(x, key=lambda t: t[1], reverse=True)",
    "caf\u00e9 na\u00efve \u65e5\u672c\u8a9e",
    "def f(x):\n\treturn x + 1  # twice  spaced\r\n",
    "<mask> <pad> </s> \u2581 \ufdd0 \ufdd01",
] * 4

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "<0x41>", "<0x0A>"]
TRICKY = [*SPECIAL, "\u2581", "\ufdd0", "\ufdd01", "\u2585", "\ufffd", "\0", " ", "0"]
texts = st.lists(st.sampled_from(TRICKY) | st.text(max_size=6), max_size=8).map("".join)
any_settings = hypothesis.settings(deadline=None, max_examples=150)


WAYS = {
    "unigram": dict(vocab_size=400),
    "bpe": dict(vocab_size=400, model_type="bpe"),
    "separate_spaces": dict(vocab_size=400, separate_spaces=True),
    "word_starts": dict(vocab_size=480, model_type="bpe", word_starts=True),
}


# Pieces of marked words share a character: test_word_marks.py has their offsets.
without_marks = pytest.mark.parametrize(
    "tokenizer", sorted(set(WAYS) - {"word_starts"}), indirect=True
)


@pytest.fixture(scope="module", params=WAYS)
def tokenizer(request):
    return Tokenizer.train(TEXTS, **WAYS[request.param])


@pytest.fixture(scope="module")
def plain():
    return Tokenizer.train(TEXTS, vocab_size=400)


@any_settings
@hypothesis.given(text=texts)
def test_decoding_what_was_encoded_gives_the_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@any_settings
@hypothesis.given(text=texts)
def test_text_never_becomes_a_control_id(tokenizer, text):
    assert all(4 < i < tokenizer.vocab_size for i in tokenizer.encode(text))


@without_marks
@any_settings
@hypothesis.given(text=texts)
@hypothesis.example(text="▁]")  # the escape's end and the bracket may be one piece
def test_offsets_tile_the_text(tokenizer, text):
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert ids == tokenizer.encode(text)
    assert len(ids) == len(offsets)
    covered = 0
    for start, end in offsets:
        # A piece begins where the last one ended, or spells on in its last character.
        assert start in (covered, covered - 1) and end >= max(covered, start + 1)
        covered = end
    assert covered == len(text)


@without_marks
def test_the_offsets_of_ascii_pieces_cut_out_their_text(tokenizer):
    for text in filter(str.isascii, TEXTS):
        ids, offsets = tokenizer.encode_with_offsets(text)
        pieces = [text[start:end] for start, end in offsets]
        assert pieces == [tokenizer.decode([i]) for i in ids]


def test_each_byte_piece_of_a_character_covers_it(plain):
    text = "a\u2581\U0001f642b"
    ids, offsets = plain.encode_with_offsets(text)
    for number, char in enumerate(text):
        at = [k for k, span in enumerate(offsets) if span == (number, number + 1)]
        assert plain.decode([ids[k] for k in at]) == char


def random_text(rng):
    pieces = []
    for _ in range(rng.randrange(12)):
        kind = rng.randrange(4)
        low, high = [(0, 128), (0, 0x800), (0, 0xD800), (0xE000, 0x110000)][kind]
        pieces.append(rng.choice([chr(rng.randrange(low, high)), rng.choice(TRICKY)]))
    return "".join(pieces)


def lossy(tokenizer, strings):
    encoded = tokenizer.encode_all(strings)
    pairs = zip(strings, encoded, strict=True)
    return [text for text, ids in pairs if tokenizer.decode(ids) != text]


def test_ten_thousand_random_texts_survive(plain):
    rng = random.Random(0)
    assert lossy(plain, [random_text(rng) for _ in range(10_000)]) == []


@pytest.mark.slow
def test_a_hundred_thousand_random_texts_survive(tokenizer):
    rng = random.Random(1)
    assert lossy(tokenizer, [random_text(rng) for _ in range(100_000)]) == []


def test_every_benchmark_text_survives_needs_data(data_dir):
    strings = []
    for path in sorted(data_dir.glob("codefusion-prose/*.gz")):
        content = gzip.decompress(path.read_bytes()).decode("utf-8")
        strings += content.split("\n") if ".txt" in path.name else leaves(content)
    assert len(strings) > 300_000
    trained = Tokenizer.train(strings, vocab_size=2048, max_training_sentences=20_000)
    assert lossy(trained, strings) == []


def leaves(content):
    found, todo = [], [json.loads(content)]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            todo += [*node, *node.values()]
        elif isinstance(node, list):
            todo += node
        elif isinstance(node, str):
            found.append(node)
    return found


def test_the_special_ids_are_the_first_five(plain):
    model = sentencepiece.SentencePieceProcessor(model_proto=plain.model)
    ids = [model.pad_id(), model.unk_id(), model.bos_id(), model.eos_id()]
    assert [*ids, model.piece_to_id("<mask>")] == list(range(5))
    assert (PAD_ID, UNK_ID, BOS_ID, EOS_ID, MASK_ID) == (0, 1, 2, 3, 4)


def test_a_batch_is_encoded_like_its_texts(plain):
    strings = ["a b", "", "a b", *TEXTS[:4]]
    assert plain.encode_all(strings) == [plain.encode(text) for text in strings]


@pytest.mark.parametrize("stop", [EOS_ID, PAD_ID])
def test_decoding_stops_at_eos_and_at_pad(plain, stop):
    ids = plain.encode("find .")
    assert plain.decode([*ids, stop, *ids]) == "find ."
    assert plain.decode([stop, *ids]) == ""


def test_decoding_skips_bos_and_mask(plain):
    ids = plain.encode("find .")
    noisy = [BOS_ID, *ids[:2], MASK_ID, *ids[2:], MASK_ID]
    assert plain.decode(np.array(noisy)) == "find ."


def test_ids_that_spell_no_text_decode_to_the_replacement_character(plain):
    whole = plain.encode("\U0001f642")
    assert len(whole) == 4
    assert plain.decode(whole[:3]) == "\ufffd"
    assert plain.decode([UNK_ID]) == "\ufffd"


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(data=st.data())
def test_any_ids_decode_to_text_that_can_be_written(plain, data):
    ids = st.integers(0, plain.vocab_size - 1)
    plain.decode(data.draw(st.lists(ids, max_size=20))).encode("utf-8")


@pytest.mark.parametrize("wrong", [-1, 400_000])
def test_an_id_outside_the_vocabulary_is_an_error(plain, wrong):
    with pytest.raises(ValueError, match=f"token id {wrong} is outside"):
        plain.decode([5, wrong])


def test_a_lone_surrogate_is_an_error_that_gives_its_position(plain):
    with pytest.raises(ValueError, match=r"U\+D800 at position 3"):
        plain.encode("abc\ud800d")
    with pytest.raises(ValueError, match=r"U\+DC00 at position 0"):
        plain.encode_all(["fine", "\udc00"])


def test_training_twice_gives_the_same_bytes(plain):
    again = Tokenizer.train(iter(TEXTS), vocab_size=400)
    assert again.model == plain.model
    assert again.content_hash == plain.content_hash


def test_other_text_gives_another_hash(plain):
    other = Tokenizer.train([*TEXTS, "Between(10, 20)"], vocab_size=400)
    assert other.content_hash != plain.content_hash


@pytest.mark.parametrize("separate_spaces", [False, True])
def test_text_without_a_space_trains_a_tokenizer_that_keeps_spaces(separate_spaces):
    trained = Tokenizer.train(
        ["aboveAverage()"], vocab_size=300, separate_spaces=separate_spaces
    )
    assert trained.decode(trained.encode(" a  b ")) == " a  b "


def test_the_sample_of_training_lines_depends_on_the_seed():
    lines = [f"{word} {number}" for number in range(200) for word in ("max", "min")]
    models = [
        Tokenizer.train(lines, vocab_size=300, max_training_sentences=40, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert models[0] == models[1] != models[2]


def test_saving_and_loading_keeps_the_tokenizer(plain, tmp_path):
    plain.save(tmp_path / "tokenizer.model")
    loaded = Tokenizer.load(tmp_path / "tokenizer.model")
    assert loaded == plain
    assert loaded.content_hash == plain.content_hash
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.model"]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_damaged_model_is_an_error_that_names_the_file(plain, tmp_path, share):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(plain.model[: int(len(plain.model) * share)])
    with pytest.raises(ValueError, match="tokenizer.model: .*expected"):
        Tokenizer.load(path)


def test_a_missing_model_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(ValueError, match="absent.model: no such tokenizer"):
        Tokenizer.load(tmp_path / "absent.model")


def test_a_model_that_normalises_is_refused(tmp_path):
    path = tmp_path / "foreign.model"
    ids = dict(pad_id=0, unk_id=1, bos_id=2, eos_id=3, control_symbols=["<mask>"])
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS),
            model_writer=file,
            vocab_size=400,
            hard_vocab_limit=False,
            byte_fallback=True,
            minloglevel=2,
            **ids,
        )
    with pytest.raises(ValueError, match="foreign.model: .*not lossless"):
        Tokenizer.load(path)


def test_texts_too_small_for_the_vocabulary_give_a_smaller_one():
    for model_type in tokenizer_lib.MODEL_TYPES:
        small = Tokenizer.train(["ab ab"], vocab_size=5000, model_type=model_type)
        assert 261 < small.vocab_size < 300
        assert small.decode(small.encode("ab \u65e5")) == "ab \u65e5"


def test_lines_that_hold_tabs_and_nulls_are_not_left_out_of_training():
    broken = ["\tgreater\n\tgreatest\0great\r\n", "greet\tgreedy"]
    whole = ["greater", "greatest", "great", "greet", "greedy"]
    assert Tokenizer.train(broken, vocab_size=300) == Tokenizer.train(
        whole, vocab_size=300
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (dict(vocab_size=100), "tokenizer.vocab_size is 100; expected at least 262"),
        (dict(vocab_size=270), "tokenizer.vocab_size is 270; expected at least 3"),
        (dict(model_type="word"), "tokenizer.model_type is 'word'; expected one of"),
        (dict(texts=["", " \n"]), "no text to train the tokenizer on"),
        (dict(texts=["\ud800"]), r"U\+D800 at position 0"),
    ],
)
def test_training_that_cannot_work_is_an_error(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        Tokenizer.train(**{"texts": TEXTS, **arguments})


def test_separate_spaces_give_a_word_the_same_pieces_anywhere():
    trained = Tokenizer.train(TEXTS, vocab_size=400, separate_spaces=True)
    word = trained.encode("assets")
    assert trained.encode("(assets")[-len(word) :] == word
    assert trained.encode("long assets")[-len(word) :] == word


def test_split_digits_gives_each_digit_a_piece():
    trained = Tokenizer.train(["2525 2525 " * 9], vocab_size=300, split_digits=True)
    assert [trained.decode([i]) for i in trained.encode("2525")] == list("2525")


def test_pieces_are_no_longer_than_asked():
    trained = Tokenizer.train(TEXTS, vocab_size=400, max_piece_length=3)
    ids = {i for text in TEXTS for i in trained.encode(text)}
    assert max(len(trained.decode([i])) for i in ids) == 3


def test_a_tokenizer_cannot_be_changed(plain):
    with pytest.raises(AttributeError):
        plain.model = b""
