"""From log-probabilities to tokens: the likeliest, a draw, or the next likeliest.

A decoder that is not causal writes all positions at once and each by itself (for one
that is, see `search.py`), so the probability of a whole sequence is a product over
positions. The sequences can therefore be listed by falling probability without a beam
and without calling the network again.
"""

import heapq
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from codefusion.data.tokenizer import EOS_ID, PAD_ID

# Tokens kept at each position. Where a draw has a repair at all, it is mostly among the
# first hundred sequences, and few of these go further down at any position.
NUM_LIKELIEST = 6


class Draw(NamedTuple):
    """The tokens of one draw, and the likeliest tokens at each of its positions.

    Arrays may have further axes in front.

    Attributes:
      tokens: what was drawn, int32[L].
      log_probs: of those tokens, float32[L].
      likeliest: the K likeliest tokens, the best first, int32[L, K].
      likeliest_log_probs: of those, float32[L, K].
    """

    tokens: np.ndarray
    log_probs: np.ndarray
    likeliest: np.ndarray
    likeliest_log_probs: np.ndarray


def draw(log_probs, keys, temperature):
    """Returns a draw of every row.

    Args:
      log_probs: of every token at every position, float32[R, L, V].
      keys: one of each row, key[R]; not read at temperature 0.
      temperature: 0 takes the likeliest tokens.

    Returns:
      A `Draw` of arrays int32 and float32 [R, L] and [R, L, K], where K is
      `NUM_LIKELIEST`, or V if that is less.
    """
    chex.assert_rank(log_probs, 3)
    count = min(NUM_LIKELIEST, log_probs.shape[-1])
    best_log_probs, best = jax.lax.top_k(log_probs, count)
    if not temperature:
        return Draw(best[..., 0], best_log_probs[..., 0], best, best_log_probs)

    def draw_row(key, row):
        return jax.random.categorical(key, row / temperature, axis=-1)

    tokens = jax.vmap(draw_row)(keys, log_probs)
    picked = jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    return Draw(tokens, picked, best, best_log_probs)


def draw_keys(key, numbers, num_draws):
    """Returns a key for every draw of every request, key[requests * num_draws].

    Args:
      key: a random key.
      numbers: of the requests, int32[requests].
      num_draws: of each request.
    """
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    requests = fold(key, numbers)
    return jax.vmap(lambda k: fold(k, jnp.arange(num_draws)))(requests).reshape(-1)


def mean_log_prob(tokens, log_probs):
    """Returns the mean over tokens up to and with the first eos or pad, a float.

    Args:
      tokens: int32[L].
      log_probs: of those tokens, float32[L].
    """
    return float(np.mean(log_probs[: _end(tokens) + 1]))


def by_probability(draw):
    """Yields sequences of the tokens kept at each position, the likeliest first.

    What counts is the product over the positions up to and with the end of the
    likeliest sequence; what follows stays as it is there. The same holds behind an end
    that a sequence has earlier, so that no two of them are one program.

    Args:
      draw: a `Draw` of one row.

    Yields:
      (tokens int32[L], log_probs float32[L]).
    """
    tokens, log_probs = draw.likeliest, draw.likeliest_log_probs
    rows = np.arange(len(tokens))
    swaps = _swaps(log_probs[: _end(tokens[:, 0]) + 1])
    places = [
        (position, _is_end(tokens[position, rank])) for _, position, rank in swaps
    ]
    for chosen in _by_cost([loss for loss, _, _ in swaps], places):
        ranks = np.zeros(len(tokens), int)
        for index in chosen:
            _, position, rank = swaps[index]
            ranks[position] = rank
        yield tokens[rows, ranks], log_probs[rows, ranks]


def _swaps(log_probs):
    """Returns (loss, position, rank) of taking another token than the likeliest."""
    losses = log_probs[:, :1] - log_probs
    return sorted(
        (float(losses[position, rank]), position, rank)
        for position, rank in np.ndindex(losses.shape)
        if rank and np.isfinite(losses[position, rank])
    )


def _by_cost(costs, places):
    """Yields sets of items, each a tuple of rising indices, by rising sum of costs.

    No set holds two items that clash. From a set the next ones are reached by adding
    the item after its last, or moving the last on by one; each set is reached once,
    and none before a cheaper one.

    Args:
      costs: rising, list[float].
      places: (position, whether it ends the program) of each item, list.
    """
    waiting = [(0.0, ())]
    while waiting:
        cost, chosen = heapq.heappop(waiting)
        *before, last = chosen or (-1,)
        fits = not any(_clash(places[i], places[last]) for i in before)
        if fits:
            yield chosen
        following = last + 1
        if following == len(costs):
            continue
        if fits:
            heapq.heappush(waiting, (cost + costs[following], (*chosen, following)))
        if chosen:
            moved = cost - costs[last] + costs[following]
            heapq.heappush(waiting, (moved, (*before, following)))


def _clash(one, other):
    """Returns whether two items share a position, or one is behind the other's end."""
    (first, is_end), (second, _) = sorted((one, other))
    return first == second or is_end


def _is_end(token):
    return bool(token == EOS_ID or token == PAD_ID)


def _end(tokens):
    """Returns the place of the first eos or pad, else that of the last token."""
    ends = np.flatnonzero((tokens == EOS_ID) | (tokens == PAD_ID))
    return int(ends[0]) if len(ends) else len(tokens) - 1
