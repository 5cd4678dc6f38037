"""How a causal decoder writes: a token at a time, drawn, or kept in beams.

It is that of an autoregressive model, or that of a diffusion model, which writes by its
plan. Everything is one compiled loop that ends when all programs have. A drawn token
comes from a key folded from (seed, request number, draw number, position), so that a
draw does not depend on the batch it rode in.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from codefusion import decoding
from codefusion.data.tokenizer import EOS_ID, PAD_ID

_IMPOSSIBLE = -1e9  # a log-probability that nothing else reaches


@dataclasses.dataclass(frozen=True)
class Nucleus:
    """Draws tokens from the likeliest that make up `top_p` (Holtzman et al. 2020).

    `inference.token_temperature` applies first; at 0 the likeliest token is taken at
    every position, which is greedy decoding.

    Attributes:
      top_p: share of the probability that is kept; 1 draws from all tokens.
    """

    top_p: float = 1.0

    def draw(self, plan, bound, context, keys):
        """Returns the draws, one of each row of a context; see `write`."""
        rows = len(context.mask)

        def choose(log_probs, position):
            if not plan.token_temperature:
                return jnp.argmax(log_probs, -1)
            kept = self.keep(log_probs / plan.token_temperature)
            fold = functools.partial(jax.random.fold_in, data=position)
            return jax.vmap(jax.random.categorical)(jax.vmap(fold)(keys), kept)

        def advance(state):
            position, token, ended, tokens, found, cache = state
            log_probs, cache = bound(cache, token, position, context)
            token = jnp.where(ended, PAD_ID, choose(log_probs, position))
            picked = jnp.take_along_axis(log_probs, token[:, None], -1)[:, 0]
            tokens = tokens.at[:, position].set(token)
            found = found.at[:, position].set(jnp.where(ended, 0.0, picked))
            ended = ended | _is_end(token)
            return position + 1, token, ended, tokens, found, cache

        start = _start(plan, bound, context)
        state = (
            0,
            jnp.full(rows, plan.model.start_id),
            jnp.zeros(rows, bool),
            jnp.full((rows, plan.target_length), PAD_ID),
            jnp.zeros((rows, plan.target_length)),
            start,
        )
        _, _, _, tokens, log_probs, _ = jax.lax.while_loop(
            lambda s: (s[0] < plan.target_length) & ~jnp.all(s[2]), advance, state
        )
        return tokens, log_probs

    def keep(self, logits):
        """Returns logits with those outside the nucleus impossible, float32[R, V].

        Args:
          logits: float32[R, V].
        """
        if self.top_p == 1:
            return logits
        ordered = jnp.sort(logits, axis=-1)[:, ::-1]
        probs = jax.nn.softmax(ordered, axis=-1)
        # A token is kept while what is likelier than it does not make up top_p.
        kept = jnp.cumsum(probs, axis=-1) - probs < self.top_p
        least = jnp.min(jnp.where(kept, ordered, jnp.inf), axis=-1, keepdims=True)
        return jnp.where(logits >= least, logits, _IMPOSSIBLE)


@dataclasses.dataclass(frozen=True)
class Beam:
    """Keeps the likeliest programs so far, as many as there are draws.

    Attributes:
      length_penalty: a finished program is scored by its log-probability over its
        length to this power (Wu et al. 2016 without their constant); 0 is the plain
        sum, which favours short programs.
    """

    length_penalty: float = 0.0

    def draw(self, plan, bound, context, keys):
        """Returns the beams of each request, the best first; see `write`."""
        del keys
        rows, length = len(context.mask), plan.target_length
        # The beams of a request are alike at the start: only the first counts.
        first = jnp.arange(rows) % plan.num_draws == 0
        beams = _Beams(
            tokens=jnp.full((rows, length), PAD_ID),
            log_probs=jnp.zeros((rows, length)),
            total=jnp.where(first, 0.0, _IMPOSSIBLE),
            last=jnp.full(rows, plan.model.start_id),
            ended=jnp.zeros(rows, bool),
        )

        def advance(state):
            position, beams, cache = state
            log_probs, cache = bound(cache, beams.last, position, context)
            beams, parent = self._grow(beams, log_probs, position, plan.num_draws)
            return position + 1, beams, _reorder(cache, parent)

        _, beams, _ = jax.lax.while_loop(
            lambda state: (state[0] < length) & ~jnp.all(state[1].ended),
            advance,
            (0, beams, _start(plan, bound, context)),
        )
        return beams.tokens, beams.log_probs

    def _grow(self, beams, log_probs, position, width):
        """Returns the beams with a token more, and whose continuation each is."""
        log_probs = jnp.where(beams.ended[:, None], _padding(log_probs), log_probs)
        total = beams.total[:, None] + log_probs
        score = total
        if self.length_penalty:
            lengths = jnp.sum(beams.tokens != PAD_ID, -1) + ~beams.ended
            score = total / lengths[:, None] ** self.length_penalty
        vocabulary = score.shape[-1]
        _, best = jax.lax.top_k(score.reshape(-1, width * vocabulary), width)
        request = jnp.arange(len(best))[:, None]
        parent = (best // vocabulary + width * request).reshape(-1)
        token = (best % vocabulary).reshape(-1)
        tokens = beams.tokens[parent].at[:, position].set(token)
        picked = beams.log_probs[parent].at[:, position].set(log_probs[parent, token])
        ended = beams.ended[parent] | _is_end(token)
        return _Beams(tokens, picked, total[parent, token], token, ended), parent


class _Beams(NamedTuple):
    """Programs so far: tokens and log_probs [R, L], the others [R]."""

    tokens: jax.Array
    log_probs: jax.Array
    total: jax.Array
    last: jax.Array
    ended: jax.Array


SEARCHES = {"nucleus": Nucleus, "beam": Beam}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a compiled search depends on; equal plans share one in a process.

    Attributes:
      model: a `models.writing.Writer`.
      search: one of `SEARCHES`.
      target_length: L; num_draws: of a request.
      token_temperature: as in `inference.Settings`.
    """

    model: object
    search: object
    target_length: int
    num_draws: int
    token_temperature: float


@functools.partial(jax.jit, static_argnums=0)
def draw(plan, params, source, mask, key, numbers):
    """Returns the draws of a batch, a `decoding.Draw` of arrays [B, num_draws, ...].

    Each draw has one token at each position to choose from: the next ones depend on it.

    Args:
      plan: a `Plan`.
      params: of the model.
      source: int32[B, S].
      mask: bool[B, S].
      key: a random key.
      numbers: of the requests, folded into their keys, int32[B].
    """
    context = plan.model.apply({"params": params}, source, mask, method="encode")
    context = context.repeat(plan.num_draws)
    keys = decoding.draw_keys(key, numbers, plan.num_draws)
    found = write(plan, params, context, keys)
    shape = (len(source), plan.num_draws)
    return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), found)


def write(plan, params, context, keys):
    """Returns what is written by a causal decoder, a `decoding.Draw` of [R, ...].

    A search has `draw(plan, bound, context, keys)`, which returns tokens int32[R, L]
    and their log-probabilities float32[R, L]; it calls `bound(cache, token int32[R],
    position, context)`, which returns those of the next token, float32[R, V], and the
    cache with the token in it.

    Args:
      plan: a `Plan`.
      params: of its model, a `models.writing.Writer`.
      context: of R rows.
      keys: one of each row, key[R].
    """

    def bound(cache, token, position, context):
        variables = {"params": params} | ({"cache": cache} if cache else {})
        log_probs, kept = plan.model.apply(
            variables, token, position, context, method="write_next", mutable=["cache"]
        )
        return log_probs, kept["cache"]

    tokens, log_probs = plan.search.draw(plan, bound, context, keys)
    return decoding.Draw(tokens, log_probs, tokens[..., None], log_probs[..., None])


def _start(plan, bound, context):
    """Returns an empty cache of keys and values for the rows of a context."""
    rows = len(context.mask)
    start = jnp.full(rows, plan.model.start_id)
    shapes = jax.eval_shape(lambda: bound(None, start, jnp.int32(0), context)[1])
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _reorder(cache, parent):
    """Returns a cache whose rows, the fourth axis from its end, are the parents'."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, parent, axis=leaf.ndim - 4), cache)


def _padding(log_probs):
    """Returns log-probabilities by which what has ended is followed by padding."""
    return jnp.full_like(log_probs, _IMPOSSIBLE).at[:, PAD_ID].set(0.0)


def _is_end(token):
    return (token == EOS_ID) | (token == PAD_ID)
