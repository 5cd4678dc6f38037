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
from codefusion.commands import denoising, trained
from codefusion.training.compile_cache import compile_cache


def define(flag_values):
    """Adds the command's flags."""
    integer = {"num_candidates": "Candidates of each utterance.", "steps": "Steps."}
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
        "frames", 8, "Lines drawn by --show_denoising.", 2, flag_values=flag_values
    )
    switches = {
        "truncate": "Cut utterances that are too long instead of refusing them.",
        "show_denoising": "Draw one denoising at chosen steps.",
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
    batches = model.stream(
        utterances,
        num_candidates=options.num_candidates,
        steps=options.steps,
        seed=options.seed,
        truncate=truncate,
        guidance=options.guidance,
        language=language,
    )
    console = Console(soft_wrap=True, highlight=False)
    answers = itertools.chain.from_iterable(batches)
    for utterance, candidates in zip(utterances, answers, strict=True):
        frames = _frames(model, utterance, options)
        if options.json:
            line = as_json(utterance, candidates, frames, seed=options.seed)
            print(line, flush=True)
        else:
            show(console, utterance, candidates, frames)


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
        console.print(head + body + Text(tail, style="dim"))
    console.print()


def _frames(model, utterance, options):
    """Returns the Frames of an utterance, a list; none without --show_denoising."""
    if not options.show_denoising:
        return []
    return model.denoising_frames(
        utterance,
        seed=options.seed,
        steps=options.steps,
        frames=options.frames,
        truncate=options.truncate,
        guidance=options.guidance,
        language=options.language,
    )
