"""From utterances to code: tokens, context, noise, samples, tokens, text.

    model = inference.load("runs/quickstart")
    model.generate(["highlight cells greater than 25"])

What a request gets does not depend on the batch it rode in: its noise is drawn from a
key folded from (seed, request number, draw number), and every batch has one shape.
"""

import dataclasses
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from codefusion import (
    assemble,
    consistency,
    decoding,
    drawing,
    search,
    shipped,
    workdirs,
)
from codefusion.data import encoded, neighbors
from codefusion.data.tokenizer import EOS_ID, PAD_ID, Tokenizer


class Candidate(NamedTuple):
    """One answer to a request.

    Attributes:
      text: the program.
      log_prob: mean log-probability of its tokens, the end included.
    """

    text: str
    log_prob: float


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a request is answered.

    Attributes:
      num_candidates: answers returned; num_draws: samples they are chosen from.
      num_contexts: of neighbours' programs, over which the draws are spread.
      guidance: weight of classifier-free guidance (Ho and Salimans 2022, eq. 6 with
        guidance = 1 + w); 1 is none.
      temperature: standard deviation of the initial noise.
      token_temperature: of the draw from the head; 0 takes the likeliest token. Not
        read by beams.
      top_p: where a causal decoder draws by a plan, the share of the probability that
        it draws from; see `search.Nucleus`. Nothing else reads it.
      num_beams: where a causal decoder writes by a plan, how many beams it keeps of
        each, which are its draws (see `search.Beam`); 0 draws tokens.
      num_repairs: where a draw does not parse, how many sequences of tokens, the
        likeliest first, are tried in its place; 0 leaves it as drawn.
      prefer_valid: whether candidates that parse come before those that do not.
      batch_size: requests computed together.
    """

    num_candidates: int
    num_draws: int
    num_contexts: int
    guidance: float
    temperature: float
    token_temperature: float
    top_p: float
    num_beams: int
    num_repairs: int
    prefer_valid: bool
    batch_size: int

    @property
    def draws_per_context(self):
        """Samples of each context, so that there are at least num_draws of all."""
        return -(-self.num_draws // self.num_contexts)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Generator:
    """A trained model and all that it needs to answer requests.

    Attributes:
      config: the checked config of the run.
      tokenizer: its tokenizer.
      parts: its model, process, sampler and ranking.
      params: parameters to evaluate, the moving average.
      step: the training step they are from.
      retrieval: of what it reads beside a request; None for nothing.
    """

    config: object
    tokenizer: Tokenizer
    parts: assemble.Parts
    params: object
    step: int = 0
    retrieval: neighbors.Retrieval | None = None

    def __repr__(self):
        languages = ", ".join(self.languages)
        return f"<Generator of {languages}: {self.config.model.name}, step {self.step}>"

    def generate(
        self,
        utterances,
        *,
        num_candidates=None,
        steps=None,
        seed=0,
        truncate=False,
        guidance=None,
        language=None,
        progress=None,
    ):
        """Returns candidates for each utterance, the best first.

        Args:
          utterances: a list of str.
          num_candidates: answers each; None for the config's.
          steps: denoising steps; None for the config's.
          seed: what the noise is drawn from, with the utterance's place in the list.
          truncate: cut an utterance that is too long; otherwise it is an error.
          guidance: None for the config's.
          language: of the programs, where the model writes several (see `languages`);
            None for that of its data set.
          progress: called with the number of utterances done; None for silence.

        Returns:
          A list of lists of `Candidate`.
        """
        answers = []
        for batch in self.stream(
            utterances,
            steps=steps,
            seed=seed,
            truncate=truncate,
            num_candidates=num_candidates,
            guidance=guidance,
            language=language,
        ):
            answers += batch
            if progress:
                progress(len(answers))
        return answers

    def stream(
        self,
        utterances,
        *,
        start=0,
        steps=None,
        seed=0,
        truncate=False,
        language=None,
        **choices,
    ):
        """Yields what `generate` returns, a batch of answers as soon as it is computed.

        Args:
          utterances: a list of str.
          start: number of the first that is answered, a multiple of
            `inference.batch_size`; each is answered as it would be from 0 on.
          steps, seed, truncate, language, **choices: as in `generate`.
        """
        if isinstance(utterances, str):
            raise ValueError("utterances is a str; expected a list of str.")
        settings = self._settings(**choices)
        if start < 0 or start % settings.batch_size:
            raise ValueError(
                f"start is {start}; expected a multiple of {settings.batch_size}, "
                "inference.batch_size."
            )
        language = self._language(language)
        sources = self._sources(utterances, settings.num_contexts, truncate, language)
        for first in range(start, len(utterances), settings.batch_size):
            chunk = sources[first : first + settings.batch_size]
            draws = self._draw(chunk, first, seed, settings, steps)
            yield [self._rank(draw, settings, language) for draw in draws]

    def trajectory(
        self,
        utterance,
        *,
        num_draws=1,
        number=0,
        steps=None,
        seed=0,
        truncate=False,
        guidance=None,
        language=None,
    ):
        """Returns what the first draws of an utterance are at each denoising step.

        Args:
          utterance: str; number: its place among those that are asked together.
          num_draws: how many draws.
          steps, seed, truncate, guidance, language: as in `generate`.

        Returns:
          (times, trajectory): float32[steps], and a `drawing.Trajectory`.
        """
        if self.is_autoregressive:
            raise ValueError(
                "This model writes from left to right and denoises nothing; expected "
                "a diffusion model's work directory."
            )
        settings = self._settings(1, guidance)
        number *= settings.num_contexts
        settings = dataclasses.replace(
            settings, num_draws=num_draws, num_contexts=1, num_beams=0
        )
        source = self._sources([utterance], 1, truncate, self._language(language))[0]
        # The estimates along the way are the loop's to tell.
        plan = dataclasses.replace(self._plan(settings, steps), is_resident=False)
        mask, key = source != PAD_ID, jax.random.key(seed)
        found = drawing.trajectory(plan, self.params, source, mask, key, number)
        times = drawing.times_of(plan.process, plan.sampler)[:-1]
        return np.asarray(times), jax.device_get(found)

    def reconfigured(self, config):
        """Returns a Generator of the same weights under another config.

        Args:
          config: a checked config that differs in no setting of training.
        """
        parts = assemble.parts(config, self.tokenizer.vocab_size)
        return dataclasses.replace(self, config=config, parts=parts)

    @property
    def is_autoregressive(self):
        """Whether the model writes from left to right, bool."""
        return consistency.is_autoregressive(self.config)

    @property
    def languages(self):
        """Languages of the programs that it writes, that of its data set first."""
        return assemble.languages(self.config)

    def _language(self, language):
        known = self.languages
        if language is not None and language not in known:
            raise ValueError(
                f"language is {language!r}, which this model does not write; expected "
                f"one of {', '.join(known)}."
            )
        return language or known[0]

    def encode(self, utterance, *, truncate=False, language=None):
        """Returns an utterance's tokens, eos included; a list of at most S ints.

        Args:
          utterance: str, not blank.
          truncate: cut it where it is too long; otherwise that is an error.
          language: as in `generate`.
        """
        length = self.config.data.source_length
        if not (isinstance(utterance, str) and utterance.strip()):
            raise ValueError(f"The utterance is {utterance!r}; expected some text.")
        ids = self.tokenizer.encode(assemble.request(self.config, utterance, language))
        if len(ids) >= length and not truncate:
            raise ValueError(
                f"The utterance has {len(ids)} tokens; expected at most {length - 1} "
                "(data.source_length of the training config, less its end). "
                "Shorten it or pass truncate (--truncate)."
            )
        return [*ids[: length - 1], EOS_ID]

    def _settings(self, num_candidates=None, guidance=None):
        section = self.config.inference
        fields = {f.name: section[f.name] for f in dataclasses.fields(Settings)}
        if num_candidates is not None:
            if not (isinstance(num_candidates, int) and num_candidates >= 1):
                raise ValueError(
                    f"num_candidates is {num_candidates!r}; expected an int from 1 up."
                )
            fields["num_candidates"] = num_candidates
            fields["num_draws"] = max(fields["num_draws"], num_candidates)
        if guidance is not None:
            consistency.check_guidance(guidance, self.config)
            fields["guidance"] = guidance
        return Settings(**fields)

    def _plan(self, settings, steps):
        parts, sampler = self.parts, self.parts.sampler
        if self.is_autoregressive:
            if steps is not None:
                raise ValueError(
                    f"steps is {steps}, but this model writes from left to right and "
                    "has no denoising steps; expected none."
                )
            return search.Plan(
                model=parts.model,
                search=sampler,
                target_length=self.config.data.target_length,
                num_draws=settings.draws_per_context,
                token_temperature=settings.token_temperature,
            )
        plan = drawing.Plan.make(
            parts, self.config, settings, settings.draws_per_context
        )
        if steps is None:
            return plan
        sampler = dataclasses.replace(sampler, num_steps=steps)
        return dataclasses.replace(plan, sampler=sampler)

    def _draw(self, sources, first, seed, settings, steps):
        """Returns the draws of at most `batch_size` requests, a `Draw` of each."""
        contexts = settings.num_contexts
        source = np.full((settings.batch_size, *sources.shape[1:]), PAD_ID, np.int32)
        source[: len(sources)] = sources
        source = source.reshape(-1, source.shape[-1])
        mask = source != PAD_ID
        mask[len(sources) * contexts :, 0] = True  # rows that only fill the batch
        numbers = first * contexts + jnp.arange(len(source))
        plan = self._plan(settings, steps)
        draw = search.draw if self.is_autoregressive else drawing.draw
        draws = jax.device_get(
            draw(plan, self.params, source, mask, jax.random.key(seed), numbers)
        )
        # The contexts of a request lie one after the other: their draws are its draws.
        draws = [
            leaf.reshape(settings.batch_size, -1, *leaf.shape[2:]) for leaf in draws
        ]
        rows = range(len(sources))
        return [decoding.Draw(*(leaf[row] for leaf in draws)) for row in rows]

    def _sources(self, utterances, num_contexts, truncate, language):
        """Returns the sources of utterances, int32[utterances, contexts, S].

        A context has a part of its own: the programs of other neighbours.
        """
        ids = [self.encode(u, truncate=truncate, language=language) for u in utterances]
        near = self.retrieval and encoded.encode_neighbors(
            utterances, self.tokenizer, self.retrieval
        )
        length = consistency.source_length(self.config)
        lengths = length, self.config.data.target_length
        requests = encoded.Requests(encoded.Ragged.from_rows(ids), near)
        rows = np.arange(len(ids))
        parts = [requests.padded(rows, c, *lengths)[0] for c in range(num_contexts)]
        return np.stack(parts, axis=1)

    def _rank(self, draws, settings, language):
        """Returns the candidates of one request from all its draws."""
        judge = functools.partial(self.parts.is_valid, language=language)
        is_valid = functools.cache(judge)
        found = [
            self._program(decoding.Draw(*leaves), settings.num_repairs, is_valid)
            for leaves in zip(*draws, strict=True)
        ]
        texts = [program.text for program in found]
        preferred = [is_valid(t) for t in texts] if settings.prefer_valid else None
        order = self.parts.ranking.rank(
            texts,
            [program.log_prob for program in found],
            preferred,
            functools.partial(self.parts.classify, language=language),
        )
        return [found[i] for i in order[: settings.num_candidates]]

    def _program(self, draw, num_repairs, is_valid):
        """Returns a draw as a `Candidate`, or the likeliest of its repairs that parses.

        Args:
          draw: a `decoding.Draw` of one row.
          num_repairs: as in `Settings`.
          is_valid: whether a text parses, str -> bool.
        """
        drawn = self._candidate(draw.tokens, draw.log_probs)
        if not num_repairs or is_valid(drawn.text):
            return drawn
        repairs = itertools.islice(decoding.by_probability(draw), num_repairs)
        written = (self._candidate(*repair) for repair in repairs)
        return next((c for c in written if is_valid(c.text)), drawn)

    def _candidate(self, tokens, log_probs):
        text = self.tokenizer.decode(tokens)
        return Candidate(text, decoding.mean_log_prob(tokens, log_probs))


def load(workdir=None, step=None):
    """Returns the `Generator` of a trained work directory.

    Args:
      workdir: a folder that training or `codefusion export` wrote, str or path; None
        for the model that is in the package.
      step: of the checkpoint, int; None takes the newest that is intact.
    """
    workdir = shipped.FOLDER if workdir is None else workdir
    config, tokenizer, params, step = workdirs.read(workdir, step)
    parts = assemble.parts(config, tokenizer.vocab_size)
    retrieval = workdirs.read_retrieval(workdir, config)
    return Generator(config, tokenizer, parts, params, step, retrieval)
