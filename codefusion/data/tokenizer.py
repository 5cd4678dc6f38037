"""A lossless SentencePiece tokenizer: `decode(encode(text)) == text` for every text.

SentencePiece is run with identity normalisation, byte fallback and no dummy prefix, so
the bytes of its pieces, joined, are the bytes of the text. Two characters need care,
because it writes a space as U+2581 and cannot tell the two apart afterwards:

    U+2581 -> U+FDD0 "1"        U+FDD0 -> U+FDD0 "0"

U+FDD0 is a Unicode noncharacter, set aside for use inside a process, so real text pays
nothing for the escape. With `word_starts` the text goes through `word_marks` as well.

Control pieces are never produced from text: the spelling of
one ("<mask>") is encoded as ordinary characters.
"""

import dataclasses
import functools
import hashlib
import io
import itertools
import pathlib
import random
import re

import sentencepiece

from codefusion import files
from codefusion.data import word_marks

PAD_ID, UNK_ID, BOS_ID, EOS_ID, MASK_ID = range(5)
MODEL_TYPES = ("unigram", "bpe")

_SPACE = "\u2581"
_ESCAPE = "\ufdd0"
_ESCAPED = {
    _SPACE: _ESCAPE + "1",
    _ESCAPE: _ESCAPE + "0",
    word_marks.GLUE: _ESCAPE + "2",
}
_ORIGINAL = {escaped: char for char, escaped in _ESCAPED.items()}
_NEEDS_ESCAPE = re.compile(f"[{_SPACE}{_ESCAPE}{word_marks.GLUE}]")
_IS_ESCAPED = re.compile(f"{_ESCAPE}[012]")
# SentencePiece drops a training sentence that holds one of these; no piece may span
# a line break anyway, and all of them are single byte pieces when encoded.
_TRAINING_BREAKS = re.compile("[\x00\t\n\r]+")
_SPECIAL_PIECES = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
_NUM_BYTES = 256
_PROBE = " \u2581 a  \u00e9\ufb01\U0001f642\t\n\x00<mask></s>"
_MAX_SENTENCE_BYTES = 1 << 20
_FIXED_OPTIONS = dict(
    byte_fallback=True,
    normalization_rule_name="identity",
    add_dummy_prefix=False,
    remove_extra_whitespaces=False,
    hard_vocab_limit=False,
    pad_id=PAD_ID,
    unk_id=UNK_ID,
    bos_id=BOS_ID,
    eos_id=EOS_ID,
    control_symbols=["<mask>"],
    # One thread: sums over several would depend on how many there are.
    num_threads=1,
    max_sentence_length=_MAX_SENTENCE_BYTES,
    minloglevel=2,
)


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Text to ids and back; equal when the model bytes are equal.

    Attributes:
      model: the serialised SentencePiece model, the content of `tokenizer.model`.
    """

    model: bytes = dataclasses.field(repr=False)

    def __post_init__(self):
        _check_special_pieces(self._processor)
        if self.decode(self.encode(_PROBE)) != _PROBE:
            raise ValueError(
                "the tokenizer model is not lossless (it normalises text or has no "
                "byte fallback); expected one made by Tokenizer.train."
            )

    @classmethod
    def train(
        cls,
        texts,
        *,
        vocab_size=1024,
        model_type="unigram",
        split_digits=False,
        separate_spaces=False,
        word_starts=False,
        max_piece_length=16,
        character_coverage=0.9999,
        max_training_sentences=200_000,
        seed=0,
    ):
        """Returns a tokenizer trained on texts; the same texts give the same bytes.

        Args:
          texts: iterable of str, the training text and nothing else.
          vocab_size: most pieces wanted, the 261 special and byte pieces included;
            texts too small to fill it give a smaller `Tokenizer.vocab_size`.
          model_type: "unigram" or "bpe".
          split_digits: whether each digit is a piece of its own.
          separate_spaces: whether each space is a piece of its own, so that a word
            has the same pieces after a space as after a bracket.
          word_starts: whether every word begins as it does after a space; not
            together with separate_spaces.
          max_piece_length: most characters in a piece.
          character_coverage: share of the text's characters that get a piece; the
            rest are spelt in bytes.
          max_training_sentences: a seeded sample of this many lines is used.
          seed: seed of that sample.
        """
        _check_training_arguments(model_type, vocab_size)
        if word_starts and separate_spaces:
            raise ValueError(
                "tokenizer.word_starts and tokenizer.separate_spaces are both set; "
                "expected at most one."
            )
        model = io.BytesIO()
        options = dict(
            vocab_size=vocab_size,
            model_type=model_type,
            split_digits=split_digits,
            # The space needs a piece even if the texts hold none: spelt in bytes it
            # would be those of U+2581.
            **{"user_defined_symbols" if separate_spaces else "required_chars": _SPACE},
            max_sentencepiece_length=max_piece_length,
            character_coverage=character_coverage,
        )
        lines = _training_lines(texts, limit=max_training_sentences, seed=seed)
        if word_starts:
            lines = [word_marks.mark(line) for line in lines]
            options["user_defined_symbols"] = word_marks.PIECES
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                **options,
                **_FIXED_OPTIONS,
            )
        except RuntimeError as error:
            raise _training_error(error, vocab_size) from error
        return cls(model.getvalue())

    @classmethod
    def load(cls, path):
        """Returns the tokenizer saved at path."""
        path = pathlib.Path(path)
        try:
            model = path.read_bytes()
        except FileNotFoundError:
            raise ValueError(
                f"{path}: no such tokenizer model; expected the file that training "
                "writes as tokenizer.model."
            ) from None
        try:
            return cls(model)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path):
        """Writes the model to path, whole or not at all."""
        files.write_whole(path, self.model)

    @property
    def vocab_size(self):
        """Number of ids."""
        return len(self._piece_bytes)

    @functools.cached_property
    def content_hash(self):
        """SHA-256 of the model bytes, in hexadecimal."""
        return hashlib.sha256(self.model).hexdigest()

    def encode(self, text):
        """Returns the ids of text, list[int], with no bos or eos."""
        return self._processor.encode(self._written(text))

    def encode_all(self, texts):
        """Returns the ids of each text; a text that recurs is encoded once.

        Args:
          texts: sequence of str.

        Returns:
          list of list[int]; equal texts share one list, so do not write to it.
        """
        distinct = list(dict.fromkeys(texts))
        encoded = self._processor.encode([self._written(text) for text in distinct])
        ids = dict(zip(distinct, encoded, strict=True))
        return [ids[text] for text in texts]

    def encode_with_offsets(self, text):
        """Returns ids and the characters that each covers.

        A character spelt in several byte pieces is covered by each of them.

        Args:
          text: str.

        Returns:
          (ids, offsets): list[int] and a list of (start, end) in characters of text.
        """
        ids = self.encode(text)
        return ids, self._offsets(text, ids)

    def decode(self, ids):
        """Returns the text of ids, cut at the first eos or pad.

        Args:
          ids: iterable of int; bos and mask add nothing, unk and bytes that are not
            UTF-8 give U+FFFD.
        """
        ids = [int(i) for i in ids]
        if ids and not 0 <= min(ids) <= max(ids) < self.vocab_size:
            wrong = next(i for i in ids if not 0 <= i < self.vocab_size)
            raise ValueError(
                f"token id {wrong} is outside the vocabulary; expected 0 to "
                f"{self.vocab_size - 1}."
            )
        kept = itertools.takewhile(lambda i: i not in (EOS_ID, PAD_ID), ids)
        content = b"".join([self._piece_bytes[i] for i in kept])
        text = content.decode("utf-8", errors="replace")
        if self._marks_words:
            text = word_marks.unmark(text)
        return _IS_ESCAPED.sub(lambda match: _ORIGINAL[match.group()], text)

    @functools.cached_property
    def _processor(self):
        try:
            return sentencepiece.SentencePieceProcessor(model_proto=self.model)
        except RuntimeError as error:
            raise ValueError(
                "the file is not a SentencePiece model, or it is cut short; expected "
                "one made by Tokenizer.train."
            ) from error

    @functools.cached_property
    def _piece_bytes(self):
        return [_bytes_of(self._processor, i) for i in range(len(self._processor))]

    @functools.cached_property
    def _marks_words(self):
        return self._processor.piece_to_id(word_marks.GLUE) != UNK_ID

    def _written(self, text):
        """Returns the text that SentencePiece gets to see."""
        escaped = _escape(text)
        return word_marks.mark(escaped) if self._marks_words else escaped

    def _offsets(self, text, ids):
        if not ids:
            return []
        lengths = [len(self._piece_bytes[i]) for i in ids]
        ends = list(itertools.accumulate(lengths))
        starts = [0, *ends[:-1]]
        if text.isascii() and not self._marks_words:
            return list(zip(starts, ends, strict=True))
        char_of_byte = _char_of_each_byte(text, marks_words=self._marks_words)
        return [
            (char_of_byte[start], char_of_byte[end - 1] + 1)
            for start, end in zip(starts, ends, strict=True)
        ]


TOKENIZERS = {"sentencepiece": Tokenizer.train}


def _escape(text):
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text holds the lone surrogate U+{ord(text[error.start]):04X} at "
            f"position {error.start}; expected text that can be written as UTF-8."
        ) from None
    return _NEEDS_ESCAPE.sub(lambda match: _ESCAPED[match.group()], text)


def _char_of_each_byte(text, *, marks_words):
    """Returns, for each byte that SentencePiece sees, the character it stands for.

    A mark belongs to the character before it, a space put in to the one after it.
    """
    escaped = [_ESCAPED.get(char, char) for char in text]
    owners = [i for i, chars in enumerate(escaped) for _ in chars]
    written = "".join(escaped)
    if marks_words:
        written, owners = word_marks.mark_owners(written, owners)
    pairs = zip(written, owners, strict=True)
    return [owner for char, owner in pairs for _ in char.encode("utf-8")]


def _bytes_of(processor, piece_id):
    if piece_id == UNK_ID:
        return "\ufffd".encode()
    if processor.is_control(piece_id):
        return b""
    piece = processor.id_to_piece(piece_id)
    if processor.is_byte(piece_id):
        return bytes([int(piece[1:-1], 16)])
    return piece.replace(_SPACE, " ").encode("utf-8")


def _check_special_pieces(processor):
    found = tuple(processor.id_to_piece(i) for i in range(min(5, len(processor))))
    if found != _SPECIAL_PIECES:
        raise ValueError(
            f"the tokenizer's first pieces are {found}; expected {_SPECIAL_PIECES}."
        )


def _check_training_arguments(model_type, vocab_size):
    if model_type not in MODEL_TYPES:
        raise ValueError(
            f"tokenizer.model_type is {model_type!r}; expected one of "
            f"{sorted(MODEL_TYPES)}."
        )
    smallest = len(_SPECIAL_PIECES) + _NUM_BYTES + 1
    if vocab_size < smallest:
        raise ValueError(
            f"tokenizer.vocab_size is {vocab_size}; expected at least {smallest}: "
            "the special pieces, one for each byte, and some for text."
        )


def _training_lines(texts, *, limit, seed):
    lines = [
        line
        for text in texts
        for line in _TRAINING_BREAKS.split(_escape(text))
        if line.strip()
    ]
    if not lines:
        raise ValueError(
            "there is no text to train the tokenizer on; expected at least one line "
            "that is not blank."
        )
    if len(lines) > limit:
        lines = random.Random(seed).sample(lines, limit)
    return lines


def _training_error(error, vocab_size):
    needed = re.search(r"smaller than required_chars\. (\d+) vs (\d+)", str(error))
    if needed is None:
        return error
    return ValueError(
        f"tokenizer.vocab_size is {vocab_size}; expected at least {needed.group(2)} "
        "for the characters of these texts, or a smaller "
        "tokenizer.character_coverage."
    )
