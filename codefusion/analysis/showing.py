"""How tokens look, wherever they are shown: what is printed and how sure it is.

The tint of a token is strongest at probability 0 and gone at 1, so that noise fades
into plain code; it is one hue, told apart by lightness alone. Underlines say the same
without colour.
"""

import unicodedata

# Of probability 0 on white, as numbers of 0 to 255; black text on it has contrast 7.
UNSURE = (240, 160, 75)
# At least these probabilities have no underline, and a dotted one; below, a solid one.
SURE, EVEN = 0.9, 0.5


def visible(text):
    """Returns text on one line: control characters and line ends as escapes."""
    escaped = [c if c.isprintable() else repr(c)[1:-1] for c in text]
    return "".join(escaped)


def lines_kept(text):
    """Returns what is shown of a token: line ends stay, behind a sign."""
    return "\u21b5\n".join(visible(line) for line in text.split("\n"))


def tint(probability):
    """Returns the colour of a token on white, (red, green, blue) of 0 to 255."""
    return tuple(round(255 + (1 - probability) * (full - 255)) for full in UNSURE)


def doubt(probability):
    """Returns how a token is underlined, int: 0 not at all, 1 dotted, 2 solid."""
    return int(probability < SURE) + int(probability < EVEN)


def columns(text):
    """Returns how many columns of a monospaced font a text takes, int."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
