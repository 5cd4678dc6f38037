"""More pairs from few: copies of a pair in which the values they share are others.

    find files named notes.txt    find . -name notes.txt
    find files named report.txt   find . -name report.txt

A value is a word that programs take from their requests: a file name or a number, not a
command that both happen to name, nor an `of` that stands in a quoted title. A model
that sees each in many places learns where values go, not which they are.
"""

import collections
import dataclasses
import random
import re

_WORD = re.compile(r"\w+")
# What a program calls or sets is never a value: its first word, functions, flags.
_NAMES = re.compile(r"^\W*(\w+)|(\w+)\s*\(|(?<!\S)-+(\w+)")
# A value stands in the request of most programs that hold it, and in the program of
# some requests that do.
_SHARE_OF_PROGRAMS = 0.9
_SHARE_OF_REQUESTS = 0.2


def with_swaps(examples, copies, *, seed):
    """Returns the examples and, after them, copies with other values.

    An example without a value has no copy: it would be itself.

    Args:
      examples: a sequence of `Example`.
      copies: how many of each, at least 0; 0 returns the examples alone.
      seed: what the new values are drawn from, with the example's id.

    Returns:
      A sequence of `Example`; the ids of copies end in `+1`, `+2`, ...
    """
    if copies == 0:
        return examples
    examples = list(examples)
    values = values_of(examples)
    alike = collections.defaultdict(list)
    for value in sorted(values):
        alike[_kind(value)].append(value)
    swapped = [
        _swap(example, number, values, alike, seed)
        for number in range(1, copies + 1)
        for example in examples
    ]
    return examples + [example for example in swapped if example]


def values_of(examples):
    """Returns the words that programs take from their requests, a set of str.

    Args:
      examples: a sequence of `Example`.
    """
    requested, programmed, copied = (collections.Counter() for _ in range(3))
    names = set()
    for example in examples:
        in_request = set(_WORD.findall(example.utterance))
        in_program = set(_WORD.findall(example.code))
        requested.update(in_request)
        programmed.update(in_program)
        copied.update(in_request & in_program)
        names.update(*_NAMES.findall(example.code))

    def is_value(word):
        return word.isdecimal() or (
            word not in names
            and copied[word] >= _SHARE_OF_PROGRAMS * programmed[word]
            and copied[word] >= _SHARE_OF_REQUESTS * requested[word]
        )

    return set(filter(is_value, copied))


def _swap(example, number, values, alike, seed):
    """Returns a copy with all of its values other ones; None where it has none."""
    requested = set(_WORD.findall(example.utterance))
    programmed = set(_WORD.findall(example.code))
    draw = random.Random(f"{seed}/{example.id}/{number}")
    taken, new = requested | programmed, {}
    for value in sorted(requested & programmed & values):
        new[value] = _another(value, alike, taken, draw)
        taken.add(new[value])

    def renamed(text):
        return _WORD.sub(lambda found: new.get(found[0], found[0]), text)

    if not new:
        return None
    return dataclasses.replace(
        example,
        id=f"{example.id}+{number}",
        utterance=renamed(example.utterance),
        code=renamed(example.code),
    )


def _another(value, alike, taken, draw):
    """Returns a value of the same kind that is not taken; itself where none is free."""
    if value.isdecimal():
        lowest = 0 if len(value) == 1 else 10 ** (len(value) - 1)
        choices = (str(draw.randrange(lowest, 10 ** len(value))) for _ in range(8))
    else:
        choices = (draw.choice(alike[_kind(value)]) for _ in range(8))
    return next((choice for choice in choices if choice not in taken), value)


def _kind(value):
    """Returns what a value must share with the one in whose place it comes."""
    letters = value.isalpha()
    return letters, value.islower(), value.isupper(), len(value) == 1
