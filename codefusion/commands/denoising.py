"""Draws denoising in the terminal: noise turning into a program, a line per step."""

import difflib
import re

from rich.text import Text

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_CHANGED = "bold green"
_KEPT = "dim"


def draw(console, utterance, frames):
    """Prints the frames of one utterance.

    On a terminal the tokens that changed since the frame before are highlighted;
    elsewhere the lines are plain.

    Args:
      console: a rich Console.
      utterance: the request.
      frames: iterable of `inference.Frame`s, in order; each is printed as it comes.
    """
    console.print(Text(f"{visible(utterance)}", style="bold"))
    before = ""
    for frame in frames:
        head = Text(f"  step {frame.step:4d}  t {frame.t:5.3f}  ", style="cyan")
        console.print(head + highlight(before, visible(frame.text)), soft_wrap=True)
        before = visible(frame.text)


def highlight(before, after):
    """Returns `after` as rich Text, its tokens that `before` lacks highlighted."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    text = Text()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for operation, _, _, start, end in matcher.get_opcodes():
        style = _KEPT if operation == "equal" else _CHANGED
        text.append("".join(new[start:end]), style=style)
    return text


def visible(text):
    """Returns text on one line: control characters and line ends as escapes."""
    escaped = [c if c.isprintable() else repr(c)[1:-1] for c in text]
    return "".join(escaped)
