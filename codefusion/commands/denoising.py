"""Shows denoising in the terminal: noise turning into a program.

On a terminal it moves; what stays, and what a file or a pipe gets, is a line per step.
"""

import difflib
import re
import time

from rich.console import Group
from rich.live import Live
from rich.style import Style
from rich.text import Text

from codefusion.analysis import showing
from codefusion.analysis.showing import visible

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_CHANGED = "bold green"
_KEPT = "dim"
_PLAYING_SECONDS = 3.0
_LONGEST_STILL = 0.3
_BAR = 24
_END = "\u25a0"


def play(console, film, *, seconds=_PLAYING_SECONDS):
    """Shows a film where the cursor stands, and clears it away.

    Args:
      console: a rich Console on a terminal.
      film: a `trajectory.Film`.
      seconds: how long it takes at most.
    """
    beat = min(seconds / len(film.stills), _LONGEST_STILL)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        # Ctrl-C ends the process at once, and must not leave the cursor hidden.
        console.show_cursor(True)
        for still in film.stills:
            live.update(picture(film, still), refresh=True)
            time.sleep(beat)


def picture(film, still):
    """Returns a still as something that rich prints.

    Args:
      film: a `trajectory.Film`.
      still: one of its stills.
    """
    last = film.stills[-1].step
    full = round(_BAR * still.step / last)
    bar = "\u2501" * full + "\u2500" * (_BAR - full)
    head = Text(f"  step {still.step:4d}  t {still.t:5.3f}  {bar}", style="cyan")
    rows = [Text(visible(film.utterance), style="bold"), head]
    for name, noise, tokens in zip(film.names, still.noise, still.draws, strict=True):
        rows.append(Text(f"  {name}", style="dim"))
        rows.append(Text(f"  {visible(noise)}", style="dim"))
        rows.append(Text("  ").join([Text(), tinted(tokens)]))
    return Group(*rows)


def tinted(tokens):
    """Returns tokens as rich Text, the unsure ones on a tint; see `showing`.

    Args:
      tokens: `trajectory.Token`s.
    """
    text = Text(overflow="fold")
    for token in tokens:
        shown = _END if token.is_end else visible(token.text)
        text.append(shown, style=_style(token.probability))
    return text


def _style(probability):
    """Returns a token's style; without colour italics and a line still tell."""
    doubt = showing.doubt(probability)
    if not doubt:
        return Style()
    red, green, blue = showing.tint(probability)
    return Style(
        color="#000000",  # a terminal may call another colour black
        bgcolor=f"rgb({red},{green},{blue})",
        italic=doubt == 1,
        underline=doubt == 2,
    )


def draw(console, utterance, frames):
    """Prints the frames of one utterance: the noise, and the program read in it below.

    On a terminal the tokens that changed since the frame before are highlighted;
    elsewhere the lines are plain.

    Args:
      console: a rich Console.
      utterance: the request.
      frames: iterable of `trajectory.Frame`s, in order; each is printed as it comes.
    """
    console.print(Text(f"{visible(utterance)}", style="bold"))
    before = ""
    for frame in frames:
        head = Text(f"  step {frame.step:4d}  t {frame.t:5.3f}  ", style="cyan")
        program = highlight(before, visible(frame.text))
        if frame.noise:
            console.print(Text.assemble(head, (visible(frame.noise), _KEPT)))
            head = Text(" " * len(head))
        console.print(Text.assemble(head, program), soft_wrap=True)
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
