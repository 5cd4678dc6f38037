"""`codefusion sample`: candidates for utterances, as text or as JSON lines."""

import collections
import itertools
import json
import os
import sys

from absl import flags
from rich.console import Console
from rich.text import Text

from codefusion import shipped
from codefusion.analysis import trajectory
from codefusion.commands import denoising, trained
from codefusion.training.compile_cache import compile_cache

# Flags that are arguments of `Generator.stream` and `trajectory.film` alike.
_CHOICES = ("steps", "seed", "truncate", "guidance", "language")
_LINES = 8
# Draws side by side, where the command does not say how many candidates it wants.
_DRAWS = 4


class _Film(flags.ArgumentParser):
    """Parses --show_denoising: alone it is True, otherwise a file."""

    _words = dict.fromkeys(("true", "t", "1"), True) | dict.fromkeys(
        ("false", "f", "0"), False
    )

    def parse(self, argument):
        """Returns True, False or the path of a film; raises ValueError for another."""
        if isinstance(argument, bool):
            return argument
        if argument.lower() in self._words:
            return self._words[argument.lower()]
        trajectory.writer(argument)
        return argument


def define(flag_values):
    """Adds the command's flags."""
    integer = {
        "num_candidates": "Candidates of each utterance.",
        "steps": "Denoising steps.",
    }
    for name, text in integer.items():
        flags.DEFINE_integer(name, None, text, lower_bound=1, flag_values=flag_values)
    flags.DEFINE_float(
        "guidance", None, "Guidance scale; 1 is none.", flag_values=flag_values
    )
    flags.DEFINE_integer(
        "seed", 0, "Seed of the draws.", lower_bound=0, flag_values=flag_values
    )
    flags.DEFINE_string(
        "language",
        None,
        "Of the programs, where the model writes several: bash, python or cf.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "frames",
        None,
        "Most steps shown by --show_denoising: else 8 lines, 6 in a picture, 100 in "
        "a page.",
        lower_bound=2,
        flag_values=flag_values,
    )
    shown = "Show denoising here, or as a film: =FILE.html, .png, .svg or .pdf."
    film = flags.Flag(_Film(), None, "show_denoising", False, shown, boolean=True)
    flags.DEFINE_flag(film, flag_values)
    switches = {
        "truncate": "Cut utterances that are too long instead of refusing them.",
        "json": "Print one JSON object a line.",
    }
    for name, text in switches.items():
        flags.DEFINE_boolean(name, False, text, flag_values=flag_values)


def run(call):
    """Prints the candidates of every utterance; returns nothing."""
    trained.check_workdir(call, "sample")
    if not call.words and sys.stdin.isatty():
        print("Reading utterances from stdin, one a line, to its end.", file=sys.stderr)
    utterances = read_utterances(call.words, sys.stdin.buffer)
    model = trained.load(call, "sample")
    with compile_cache(shipped.writable(call.flags.workdir)):
        answer(model, utterances, call.flags)


def answer(model, utterances, options):
    """Prints what a Generator answers to each utterance, a batch at a time.

    Args:
      model: the Generator.
      utterances: list of str.
      options: the command's flags.
    """
    language, truncate = options.language, options.truncate
    check_lengths(model, utterances, truncate=truncate, language=language)
    choices = {key: options[key].value for key in _CHOICES}
    batches = model.stream(utterances, num_candidates=options.num_candidates, **choices)
    console = Console(soft_wrap=True, highlight=False)
    answers = itertools.chain.from_iterable(batches)
    films = []
    for number, candidates in enumerate(answers):
        utterance, frames = utterances[number], []
        asked = dict(number=number, **choices)
        if isinstance(options.show_denoising, str):
            films.append(_film(model, utterance, candidates, options, asked))
        elif options.show_denoising:
            frames = _frames(model, console, utterance, candidates, options, asked)
        if options.json:
            line = as_json(utterance, candidates, frames, seed=options.seed)
            print(line, flush=True)
        else:
            show(console, utterance, candidates, frames)
    if films:
        paths = trajectory.save(films, options.show_denoising, stills=options.frames)
        _tell(paths, options)


def read_utterances(words, stdin):
    """Returns the utterances, checked: those given as arguments, else stdin's lines.

    Args:
      words: the arguments, sequence of str.
      stdin: a binary file, read only when there are no arguments.

    Returns:
      A list of str, none empty.
    """
    if words:
        named = [(f"utterance {i}", os.fsencode(w)) for i, w in enumerate(words, 1)]
    else:
        lines = stdin.read().splitlines()
        named = [(f"stdin line {i}", line) for i, line in enumerate(lines, 1)]
    if not named:
        raise ValueError("No utterance: give one as an argument or as a line of stdin.")
    return [_decode(name, raw) for name, raw in named]


def check_lengths(model, utterances, *, truncate, language=None):
    """Raises ValueError that names the first utterance that is too long."""
    for number, utterance in enumerate(utterances, 1):
        try:
            model.encode(utterance, truncate=truncate, language=language)
        except ValueError as error:
            raise ValueError(f"utterance {number}: {error}") from error


def _decode(name, raw):
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not UTF-8: byte 0x{raw[error.start]:02x} at {error.start}."
        ) from error
    if not text.strip():
        raise ValueError(f"{name} is empty; expected a request in words.")
    return text


def as_json(utterance, candidates, frames, *, seed):
    """Returns one answer as a JSON object on one line."""
    answer = {
        "utterance": utterance,
        "candidates": [
            {"text": candidate.text, "log_prob": float(candidate.log_prob)}
            for candidate in candidates
        ],
        "seed": seed,
    }
    if frames:
        answer["denoising"] = [frame._asdict() for frame in frames]
    return json.dumps(answer)


def show(console, utterance, candidates, frames):
    """Prints one answer for a person: the denoising, then the candidates by rank.

    A text that stands for several candidates, because the draws agree, is shown once.
    """
    if frames:
        denoising.draw(console, utterance, frames)
    else:
        console.print(Text(denoising.visible(utterance), style="bold"))
    times = collections.Counter(candidate.text for candidate in candidates)
    first = {candidate.text: candidate for candidate in reversed(candidates)}
    for rank, text in enumerate(times, 1):
        head = Text(f"  {rank}. {first[text].log_prob:7.3f}  ", style="cyan")
        tail = f"  ({times[text]} times)" if times[text] > 1 else ""
        body = Text(denoising.visible(text))
        if not body.plain.strip():
            body = Text("(empty)", style="dim")
        console.print(Text.assemble(head, body, (tail, "dim")))
    console.print()


def _film(model, utterance, candidates, options, asked):
    """Returns the Film of an utterance, of as many draws as candidates are wanted."""
    draws = options.num_candidates or _DRAWS
    return _film_of(model, utterance, candidates, draws, asked)


def _frames(model, console, utterance, candidates, options, asked):
    """Returns the Frames of an utterance, a list; a terminal sees them move before."""
    moves = console.is_terminal and not options.json
    draws = _DRAWS if moves else 1
    film = _film_of(model, utterance, candidates, draws, asked)
    if moves:
        denoising.play(console, film)
    return film.frames(options.frames or _LINES)


def _film_of(model, utterance, candidates, num_draws, asked):
    """Returns the Film of the draws that the candidates come from, the best first."""
    texts = [candidate.text for candidate in candidates]
    shown = dict(num_draws=num_draws, candidates=texts)
    return trajectory.film(model, utterance, **shown, **asked)


def _tell(paths, options):
    """Prints where films were written, beside the answers where these are JSON."""
    for path in paths:
        print(f"film: {path}", file=sys.stderr if options.json else sys.stdout)
