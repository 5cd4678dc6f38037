"""A film with everything in it that a page or a picture could trip over."""

import random

import pytest

from codefusion.analysis.trajectory import Film, Still, Token

UTTERANCE = 'find </script><b>"files"</b> & $x$'
PROGRAM = [
    "find",
    " .",
    " -name",
    " '",
    "</script>",
    "<!--",
    "'",
    "\n",
    "$x$",
    " é",
    "",
]
NOISE = ["grep", " &&", "\u202e", "]]>", "\x07", " 表", "  ", "{}", "\u2028", "xargs"]
NUM_STILLS = 6


@pytest.fixture(scope="session")
def film():
    """A `Film` whose two draws turn from noise into one program."""
    rng = random.Random(0)
    found = []
    for i in range(NUM_STILLS):
        done = i / (NUM_STILLS - 1)
        rows = tuple(_row(rng, done) for _ in range(2))
        noise = tuple(rng.choice(NOISE) + "<i>" for _ in range(2))
        found.append(Still(i + 1, 1 - done, rows, noise))
    return Film(UTTERANCE, "ddim, 6 steps", ("draw 1", "draw 2"), tuple(found))


def _row(rng, done):
    tokens = []
    for text in PROGRAM:
        sure = rng.random() < done
        chosen = text if sure else rng.choice(NOISE)
        probability = 0.5 + 0.5 * done if sure else rng.random()
        tokens.append(Token(chosen, probability, text, 1 - done, False))
    return (*tokens, Token("", 0.5 + 0.5 * done, "</s>", 0.1, True))
