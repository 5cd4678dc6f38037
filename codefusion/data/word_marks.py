"""Marks that give a word the same pieces wherever it stands.

Copying from request to program needs it: SentencePiece writes a space into the word
that follows, and a word has no space after a bracket or a quote. So every word gets
the space, and U+FDD1, a Unicode noncharacter, says that the text has none there. At the
very start it says that there is one. With _ for the space and ~ for the mark:

    set "Yes"  ->  _set _"~_Yes"            TextEquals(Yes)  ->  _TextEquals(~_Yes)

The pieces of brackets and quotes take the mark in. A word is a run of letters and
underscores; digits are never in need of it, since no space is written into them.
"""

import re
import string

GLUE = "\ufdd1"
_LETTER = r"[^\W\d]"  # or an underscore
_GLUED_WORD = re.compile(rf"(?<!{_LETTER})(?<! )(?={_LETTER})")
_GLUED_SPACE = re.compile(rf"{GLUE} (?={_LETTER})")
_AT_START = re.compile(rf"{GLUE}? (?={_LETTER})")
_SPACE = "\u2581"
# Given to SentencePiece and not learned by it, so that no text is without them.
PIECES = [GLUE] + [
    before + char + GLUE for before in ("", _SPACE) for char in string.punctuation
]


def mark(text):
    """Returns a text with the marks; it must not hold U+FDD1."""
    marked = _GLUED_WORD.sub(GLUE + " ", text)
    if marked.startswith(GLUE):
        return marked[1:]
    return GLUE + marked if _AT_START.match(text) else marked


def unmark(text):
    """Returns the inverse of `mark`; marks that make no sense are dropped."""
    if _AT_START.match(text):
        text = text[1:]
    return _GLUED_SPACE.sub("", text).replace(GLUE, "")


def mark_owners(text, owners):
    """Returns `mark` of a text and, for each of its characters, an owner.

    A mark belongs to the owner of the character before it, a space that was put in to
    that of the one after it.

    Args:
      text: str.
      owners: of each character of text, a list.
    """
    marked, position, result = mark(text), 0, []
    for index, char in enumerate(marked):
        here = text[position : position + 1]
        if char == here:
            result.append(owners[position])
            position += 1
        elif char == GLUE and index:
            result.append(owners[position - 1])
        else:
            result.append(owners[position])
    return marked, result
