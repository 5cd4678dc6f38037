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

from codefusion import assemble, decoding, diffusion, workdirs
from codefusion.data.tokenizer import EOS_ID, PAD_ID, Tokenizer

# What is folded into the key of a draw, so that nothing is drawn from one key twice:
# the noise at the start, that of step i at _STEP_STREAM + i, and the tokens, at the
# largest number that fits, out of reach of any step.
_START_STREAM = 0
_STEP_STREAM = 1
_TOKEN_STREAM = 2**31 - 1


class Candidate(NamedTuple):
    """One answer to a request.

    Attributes:
      text: the program.
      log_prob: mean log-probability of its tokens, the end included.
    """

    text: str
    log_prob: float


class Frame(NamedTuple):
    """What the model would write if denoising stopped at a step.

    Attributes:
      step: how many steps were taken, from 1.
      t: diffusion time at which the estimate was made.
      text: the program.
    """

    step: int
    t: float
    text: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a request is answered.

    Attributes:
      num_candidates: answers returned; num_draws: samples they are chosen from.
      guidance: weight of classifier-free guidance (Ho and Salimans 2022, eq. 6 with
        guidance = 1 + w); 1 is none.
      temperature: standard deviation of the initial noise.
      token_temperature: of the draw from the head; 0 takes the likeliest token.
      num_repairs: where a draw does not parse, how many sequences of tokens, the
        likeliest first, are tried in its place; 0 leaves it as drawn.
      prefer_valid: whether candidates that parse come before those that do not.
      batch_size: requests computed together.
    """

    num_candidates: int
    num_draws: int
    guidance: float
    temperature: float
    token_temperature: float
    num_repairs: int
    prefer_valid: bool
    batch_size: int


@dataclasses.dataclass(frozen=True, eq=False)
class Generator:
    """A trained model and all that it needs to answer requests.

    Attributes:
      config: the checked config of the run.
      tokenizer: its tokenizer.
      parts: its model, process, sampler and ranking.
      params: parameters to evaluate, the moving average.
      step: the training step they are from.
    """

    config: object
    tokenizer: Tokenizer
    parts: assemble.Parts
    params: object
    step: int = 0

    def generate(
        self,
        utterances,
        *,
        num_candidates=None,
        steps=None,
        seed=0,
        truncate=False,
        guidance=None,
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
        ):
            answers += batch
            if progress:
                progress(len(answers))
        return answers

    def stream(self, utterances, *, steps=None, seed=0, truncate=False, **choices):
        """Yields what `generate` returns, a batch of answers as soon as it is computed.

        Args:
          utterances: a list of str.
          steps, seed, truncate: as in `generate`.
          **choices: `num_candidates` and `guidance`, as in `generate`.
        """
        settings = self._settings(**choices)
        sources = [self.encode(u, truncate=truncate) for u in utterances]
        for start in range(0, len(sources), settings.batch_size):
            chunk = sources[start : start + settings.batch_size]
            yield self._answer(chunk, start, seed, settings, steps)

    def denoising_frames(
        self, utterance, *, steps=None, seed=0, frames=8, truncate=False, guidance=None
    ):
        """Returns `Frame`s of the first draw, evenly spaced over its steps.

        Args:
          utterance: str.
          frames: how many to return, the first and the last step included.
          steps, seed, truncate, guidance: as in `generate`.
        """
        settings = self._settings(1, guidance)
        settings = dataclasses.replace(settings, num_draws=1, batch_size=1)
        source, mask = self._pad([self.encode(utterance, truncate=truncate)], 1)
        plan, key = self._plan(settings, steps), jax.random.key(seed)
        tokens = np.asarray(_trajectory(plan, self.params, source, mask, key))
        times = _times(plan.process, plan.sampler)
        last = plan.sampler.num_steps - 1
        chosen = np.linspace(0, last, min(frames, last + 1)).round().astype(int)
        return [
            Frame(int(i) + 1, float(times[i]), self.tokenizer.decode(tokens[i]))
            for i in dict.fromkeys(chosen)
        ]

    def encode(self, utterance, *, truncate=False):
        """Returns an utterance's tokens, eos included; a list of at most S ints.

        Args:
          utterance: str, not blank.
          truncate: cut it where it is too long; otherwise that is an error.
        """
        length = self.config.data.source_length
        if not utterance.strip():
            raise ValueError("The utterance is empty; expected some text.")
        ids = self.tokenizer.encode(utterance)
        if len(ids) >= length and not truncate:
            raise ValueError(
                f"The utterance has {len(ids)} tokens; expected at most {length - 1} "
                "(data.source_length of the training config, less its end). "
                "Shorten it or pass truncate."
            )
        return [*ids[: length - 1], EOS_ID]

    def _settings(self, num_candidates=None, guidance=None):
        section = self.config.inference
        fields = {f.name: section[f.name] for f in dataclasses.fields(Settings)}
        if num_candidates is not None:
            if num_candidates < 1:
                raise ValueError(
                    f"num_candidates is {num_candidates}; expected at least 1."
                )
            fields["num_candidates"] = num_candidates
            fields["num_draws"] = max(fields["num_draws"], num_candidates)
        if guidance is not None:
            assemble.check_guidance(guidance, self.config)
            fields["guidance"] = guidance
        return Settings(**fields)

    def _plan(self, settings, steps):
        parts, sampler = self.parts, self.parts.sampler
        if steps is not None:
            sampler = dataclasses.replace(sampler, num_steps=steps)
        return _Plan(
            model=parts.model,
            process=parts.process,
            rounding=parts.rounding,
            sampler=sampler,
            target_length=self.config.data.target_length,
            num_draws=settings.num_draws,
            guidance=settings.guidance,
            temperature=settings.temperature,
            token_temperature=settings.token_temperature,
        )

    def _answer(self, sources, first, seed, settings, steps):
        """Returns the candidates of at most `batch_size` requests."""
        source, mask = self._pad(sources, settings.batch_size)
        numbers = first + jnp.arange(settings.batch_size)
        plan = self._plan(settings, steps)
        draws = jax.device_get(
            _draw(plan, self.params, source, mask, jax.random.key(seed), numbers)
        )
        return [
            self._rank(decoding.Draw(*(leaf[row] for leaf in draws)), settings)
            for row in range(len(sources))
        ]

    def _pad(self, sources, batch_size):
        shape = (batch_size, self.config.data.source_length)
        source = np.full(shape, PAD_ID, np.int32)
        for row, ids in enumerate(sources):
            source[row, : len(ids)] = ids
        mask = source != PAD_ID
        mask[len(sources) :, 0] = True  # rows that only fill the batch
        return source, mask

    def _rank(self, draws, settings):
        """Returns the candidates of one request from all its draws."""
        is_valid = functools.cache(self.parts.is_valid)
        found = [
            self._program(decoding.Draw(*leaves), settings.num_repairs, is_valid)
            for leaves in zip(*draws, strict=True)
        ]
        texts = [program.text for program in found]
        preferred = [is_valid(t) for t in texts] if settings.prefer_valid else None
        order = self.parts.ranking.rank(texts, [p.log_prob for p in found], preferred)
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


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What a compiled program depends on; equal plans share one in a process.

    It holds no parameters, so a program keeps none alive.
    """

    model: object
    process: object
    rounding: object
    sampler: object
    target_length: int
    num_draws: int
    guidance: float
    temperature: float
    token_temperature: float


@functools.partial(jax.jit, static_argnums=0)
def _draw(plan, params, source, mask, key, numbers):
    """Returns the draws of a batch, a `decoding.Draw` of arrays [B, N, ...]."""
    num_draws = plan.num_draws
    keys = _draw_keys(key, numbers, num_draws)
    x0_hat, _, context = _sample(plan, params, source, mask, keys)
    log_probs = _log_probs(plan, params, x0_hat, context)
    token_keys = jax.vmap(lambda k: jax.random.fold_in(k, _TOKEN_STREAM))(keys)
    draws = decoding.draw(log_probs, token_keys, plan.token_temperature)
    shape = (len(source), num_draws)
    return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), draws)


@functools.partial(jax.jit, static_argnums=0)
def _trajectory(plan, params, source, mask, key):
    """Returns the likeliest tokens of the first draw at each step, int32[steps, L]."""
    keys = _draw_keys(key, jnp.arange(1), 1)
    _, history, context = _sample(plan, params, source, mask, keys)

    def likeliest(x0_hat):
        return jnp.argmax(_log_probs(plan, params, x0_hat, context)[0], -1)

    return jax.lax.map(likeliest, history)


def _sample(plan, params, source, mask, keys):
    """Returns x0_hat [R, L, E], its history [steps, R, L, E] and the context."""
    bound = functools.partial(plan.model.apply, {"params": params})
    shape = (plan.target_length, plan.model.embedding_width)
    contexts = _contexts(bound, source, mask, plan)
    table = bound(method="embedding_table")

    def denoise(xt, t, estimate):
        inputs = plan.process.network_input(xt, t)
        guesses = [
            bound(inputs, t, estimate, context, method="denoise")
            for context in contexts
        ]
        x0_hat = diffusion.guide(guesses[0], guesses[-1], guidance=plan.guidance)
        return plan.rounding(x0_hat, table)

    x0_hat, history = diffusion.sample(
        plan.sampler,
        plan.process,
        denoise,
        plan.temperature * _normal(keys, _START_STREAM, shape),
        _times(plan.process, plan.sampler),
        draw_noise=lambda index: _normal(keys, _STEP_STREAM + index, shape),
    )
    return x0_hat, history, contexts[0]


def _log_probs(plan, params, x0_hat, context):
    """Returns token log-probabilities, float32[R, L, V]."""
    bound = functools.partial(plan.model.apply, {"params": params})
    if plan.rounding.reads_decoder:
        return bound(x0_hat, context, method="decode")[1]
    return diffusion.nearest_log_probs(x0_hat, bound(method="embedding_table"))


def load(workdir, step=None):
    """Returns the `Generator` of a trained work directory.

    Args:
      workdir: a folder that training wrote, str or path.
      step: of the checkpoint, int; None takes the newest that is intact.
    """
    config, tokenizer, params, step = workdirs.read(workdir, step)
    return Generator(
        config, tokenizer, assemble.parts(config, tokenizer.vocab_size), params, step
    )


def _contexts(bound, source, mask, plan):
    """Returns the context repeated for each draw, and an empty one for guidance."""
    context = bound(source, mask, method="encode")
    found = [context]
    if plan.guidance != 1.0:
        dropped = jnp.ones(len(source), bool)
        found.append(bound(source, mask, dropped=dropped, method="encode"))
    return [each.repeat(plan.num_draws) for each in found]


def _draw_keys(key, numbers, num_draws):
    """Returns a key for every draw of every request, [requests * draws]."""
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    requests = fold(key, numbers)
    return jax.vmap(lambda k: fold(k, jnp.arange(num_draws)))(requests).reshape(-1)


def _normal(keys, index, shape):
    """Returns a standard normal draw for each key, float32[R, *shape]."""

    def draw(key):
        return jax.random.normal(jax.random.fold_in(key, index), shape)

    return jax.vmap(draw)(keys)


def _times(process, sampler):
    return diffusion.time_grid(process, sampler.num_steps, sampler.spacing)
