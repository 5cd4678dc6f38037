"""The film of a denoising: what each draw would be if it stopped at a step.

    film = trajectory.film(codefusion.load("runs/quickstart"), "bold duplicates")
    film.save("film.html")      # or .png, .svg, .pdf
    film                        # in a notebook, the film itself

Probabilities are the decoder's, distances those of the denoiser's estimate; the noise
itself is shown as the tokens that it is nearest to.
"""

import dataclasses
import functools
import os
import pathlib
from typing import NamedTuple

import numpy as np

from codefusion import files
from codefusion.analysis import page, strip
from codefusion.data.tokenizer import BOS_ID, EOS_ID, MASK_ID, PAD_ID

# A page with more would be slow to scrub through, and large.
MAX_STILLS = 100
_CONTROLS = {PAD_ID: "<pad>", BOS_ID: "<s>", EOS_ID: "</s>", MASK_ID: "<mask>"}
_PICTURE_STILLS = 6
# Ending of a file -> what writes a film to it.
_WRITERS = dict.fromkeys(strip.ENDINGS, strip.write) | {".html": page.write}
ENDINGS = tuple(_WRITERS)


class Token(NamedTuple):
    """The likeliest token at a position.

    Attributes:
      text: what it adds to the program, "" for a part of a character or the end.
      probability: of the token.
      nearest: the token whose embedding is nearest to the estimate.
      distance: to that embedding, whose own length is 1.
      is_end: whether the program ends here.
    """

    text: str
    probability: float
    nearest: str
    distance: float
    is_end: bool


class Frame(NamedTuple):
    """What one draw would be if denoising stopped at a step.

    Attributes:
      step: how many steps were taken, from 1.
      t: diffusion time at which the estimate was made.
      text: the program.
      noise: what the noisy embeddings are nearest to, as text.
    """

    step: int
    t: float
    text: str
    noise: str = ""


class Still(NamedTuple):
    """One step of all draws.

    Attributes:
      step: how many steps were taken, from 1.
      t: diffusion time at which the estimates were made.
      draws: the `Token`s of each draw, up to and with its end.
      noise: for each draw what its noisy embeddings are nearest to, as text, as many
        tokens as the draw has in the end.
    """

    step: int
    t: float
    draws: tuple[tuple[Token, ...], ...]
    noise: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Film:
    """The stills of a request's denoising.

    Attributes:
      utterance: the request.
      caption: how it was sampled, a line.
      names: of the draws, str each.
      stills: `Still`s by rising step; the last is the end.
    """

    utterance: str
    caption: str
    names: tuple[str, ...]
    stills: tuple[Still, ...]

    def texts(self, draw):
        """Returns the program of each still, a list of str.

        Args:
          draw: which, int.
        """
        return ["".join(t.text for t in still.draws[draw]) for still in self.stills]

    def thinned(self, count):
        """Returns the film with at most so many stills, evenly spaced.

        Args:
          count: at least 2; the first and the last still are among them.
        """
        kept = evenly(len(self.stills), count)
        return dataclasses.replace(self, stills=tuple(self.stills[i] for i in kept))

    def frames(self, count):
        """Returns the first draw as `Frame`s, a list.

        Args:
          count: how many, as in `thinned`.
        """
        film = self.thinned(count)
        return [
            Frame(still.step, still.t, text, still.noise[0])
            for still, text in zip(film.stills, film.texts(0), strict=True)
        ]

    def save(self, path, *, stills=None):
        """Writes the film to a page or a picture; see `save`."""
        save([self], path, stills=stills)

    def _repr_html_(self):
        return page.inline([self])


def film(model, utterance, *, num_draws=4, stills=MAX_STILLS, candidates=(), **choices):
    """Returns the `Film` of an utterance.

    Args:
      model: an `inference.Generator`.
      utterance: str.
      num_draws: how many draws to show.
      stills: most steps to show, evenly spaced, the first and the last among them.
      candidates: texts of the answers to the utterance, the best first; the draws that
        end as one of them come first. Without, the first draws are shown.
      **choices: `number`, `steps`, `seed`, `truncate`, `guidance` and `language`, as
        in `Generator.trajectory`.
    """
    drawn = num_draws
    if candidates:  # one of them may be any draw
        drawn = max(num_draws, model.config.inference.num_draws)
    times, found = model.trajectory(utterance, num_draws=drawn, **choices)
    finals = [model.tokenizer.decode(row) for row in found.tokens[-1]]
    shown = ranked(finals, list(dict.fromkeys(candidates)))[:num_draws]
    lengths = [length_of(row) for row in found.tokens[-1]]
    read, noisy = _Reader(model.tokenizer), found.noisy
    told = found[: found._fields.index("noisy")]
    sampler, seed = model.config.sampler.name, choices.get("seed", 0)
    return Film(
        utterance=utterance,
        caption=f"{sampler}, {len(times)} steps, seed {seed}, checkpoint {model.step}",
        names=tuple(_name(draw, finals[draw], candidates) for draw in shown),
        stills=tuple(
            Still(
                i + 1,
                float(times[i]),
                tuple(read(*(leaf[i, draw] for leaf in told)) for draw in shown),
                tuple(read.text(noisy[i, draw, : lengths[draw]]) for draw in shown),
            )
            for i in evenly(len(times), stills)
        ),
    )


def evenly(total, count):
    """Returns at most `count` numbers from 0 to total - 1, both among them, a list."""
    chosen = np.linspace(0, total - 1, min(max(count, 2), total))
    return list(dict.fromkeys(chosen.round().astype(int).tolist()))


def save(films, path, *, stills=None):
    """Writes films: all to one page, or each to a picture of its own.

    Args:
      films: list of `Film`s.
      path: ends in one of `ENDINGS`; pictures of several films are numbered.
      stills: most to show; None for all in a page and 6 in a picture.

    Returns:
      The paths that were written, list.
    """
    path = pathlib.Path(path)
    write = writer(path)
    if stills or write is strip.write:
        films = [film.thinned(stills or _PICTURE_STILLS) for film in films]
    if write is page.write or len(films) == 1:
        named = {path: films}
    else:
        numbers = range(1, len(films) + 1)
        names = [path.with_stem(f"{path.stem}-{number}") for number in numbers]
        named = {name: [each] for name, each in zip(names, films, strict=True)}
    for name, part in named.items():
        files.write_whole(name, write(part, name.suffix.lower()))
    return list(named)


def writer(path):
    """Returns what writes a film to a path, (films, ending) -> bytes or str."""
    ending = pathlib.Path(path).suffix.lower()
    if ending not in _WRITERS:
        raise ValueError(
            f"{os.fspath(path)!r} is no file for a film; expected one ending in "
            f"{', '.join(ENDINGS)}."
        )
    if ending in strip.ENDINGS:
        strip.check_installed()
    return _WRITERS[ending]


def ranked(finals, candidates):
    """Returns numbers of draws: for each candidate the first that ends as it, the rest.

    Args:
      finals: text that each draw ends as, list.
      candidates: distinct texts, the best first.
    """
    first = [finals.index(text) for text in candidates if text in finals]
    return list(dict.fromkeys([*first, *range(len(finals))]))


def pieces(tokenizer, ids):
    """Returns what each token adds to the text, list of str.

    Joined they are `decode(ids)`. A character in several tokens belongs to the last.

    Args:
      tokenizer: a `Tokenizer`.
      ids: list of int, none of them an eos or pad.
    """
    found, text = [], ""
    for end in range(1, len(ids) + 1):
        longer = tokenizer.decode(ids[:end])
        kept = len(os.path.commonprefix([text, longer]))
        for i in range(len(found) - 1, -1, -1):
            excess = sum(map(len, found)) - kept
            if excess <= 0:
                break
            found[i] = found[i][: max(len(found[i]) - excess, 0)]
        found.append(longer[kept:])
        text = longer
    return found


def length_of(tokens):
    """Returns how many tokens of a draw come before its end, int.

    Args:
      tokens: ids, int32[L].
    """
    ends = np.flatnonzero((tokens == EOS_ID) | (tokens == PAD_ID))
    return int(ends[0]) if len(ends) else len(tokens)


class _Reader:
    """Makes `Token`s of a draw at a step; rows that recur are read once."""

    def __init__(self, tokenizer):
        self._name = functools.cache(
            lambda i: _CONTROLS.get(i) or tokenizer.decode([i])
        )
        self._pieces = functools.cache(lambda ids: pieces(tokenizer, ids))
        self._decode = tokenizer.decode

    def text(self, tokens):
        """Returns all tokens as one text, controls left out."""
        return self._decode([i for i in tokens.tolist() if i not in _CONTROLS])

    def __call__(self, tokens, log_probs, nearest, distances):
        length = length_of(tokens)
        texts = [*self._pieces(tuple(tokens[:length].tolist())), ""]
        return tuple(
            Token(
                text=texts[i],
                probability=float(np.exp(log_probs[i])),
                nearest=self._name(int(nearest[i])),
                distance=float(distances[i]),
                is_end=i == length,
            )
            for i in range(min(length + 1, len(tokens)))
        )


def _name(draw, final, candidates):
    """Returns what a draw is called: its number, and the candidate that it became."""
    name = f"draw {draw + 1}"
    if final not in candidates:
        return name
    rank = list(dict.fromkeys(candidates)).index(final)
    return f"candidate {rank + 1} ({name})"
