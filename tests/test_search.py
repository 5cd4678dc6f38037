"""Writing from left to right: greedy, nucleus and beam against plain loops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import search
from codefusion.data.tokenizer import EOS_ID, PAD_ID

L, V = 4, 6


class Chain:
    """A stand-in for a model: the next token depends on the last and the position."""

    start_id = 2
    table = jax.nn.log_softmax(
        2.0 * jnp.asarray(np.random.default_rng(3).standard_normal((L, V, V))), axis=-1
    )

    def apply(self, variables, *args, method, mutable=None):
        """Returns what the methods of `models.Autoregressive` do."""
        if method == "encode":
            return Rows(args[1])
        token, position, context = args
        kept = jnp.zeros((len(context.mask), L, 1, 1))
        kept = variables.get("cache", {"key": kept})["key"]
        kept = kept.at[:, position, 0, 0].set(token)
        return self.table[position, token], {"cache": {"key": kept}}

    def __hash__(self):
        return 0

    def __eq__(self, other):
        return isinstance(other, Chain)


class Rows:
    """A context of so many rows."""

    def __init__(self, mask):
        self.mask = mask

    def repeat(self, count):
        """Returns the rows `count` times."""
        return Rows(jnp.repeat(self.mask, count, axis=0))


def run(chosen, *, num_draws=1, temperature=1.0, requests=(0,)):
    """Returns the draws of some requests as NumPy arrays."""
    plan = search.Plan(Chain(), chosen, L, num_draws, temperature)
    source = jnp.zeros((len(requests), 3), jnp.int32)
    mask = jnp.ones(source.shape, bool)
    found = search.draw(plan, {}, source, mask, jax.random.key(5), jnp.array(requests))
    return jax.tree.map(np.asarray, found)


def programs():
    """Yields (log-probability, tokens) of every program."""
    for length in range(1, L + 1):
        for tokens in itertools.product(range(V), repeat=length):
            ends = [t in (EOS_ID, PAD_ID) for t in tokens]
            if any(ends[:-1]) or not (ends[-1] or length == L):
                continue
            before = (Chain.start_id, *tokens[:-1])
            total = sum(
                float(Chain.table[i, b, t])
                for i, (b, t) in enumerate(zip(before, tokens, strict=True))
            )
            yield total, tokens + (PAD_ID,) * (L - length)


def test_greedy_takes_the_likeliest_token_each_time():
    token, expected = Chain.start_id, []
    for position in range(L):
        token = int(jnp.argmax(Chain.table[position, token]))
        expected.append(token)
        if token in (EOS_ID, PAD_ID):
            break
    expected += [PAD_ID] * (L - len(expected))
    assert run(search.Nucleus(), temperature=0.0).tokens.tolist() == [[expected]]


def test_a_beam_that_holds_all_finds_the_likeliest_programs():
    found = run(search.Beam(), num_draws=200)
    best = sorted(programs(), reverse=True)[:5]
    assert found.tokens[0, :5].tolist() == [list(tokens) for _, tokens in best]
    totals = found.log_probs[0, :5].sum(-1)
    np.testing.assert_allclose(totals, [total for total, _ in best], atol=1e-5)


def test_the_length_penalty_prefers_longer_programs():
    plain, long = (
        run(search.Beam(length_penalty=p), num_draws=8).tokens[0] for p in (0.0, 2.0)
    )
    assert (long != PAD_ID).sum() > (plain != PAD_ID).sum()


def test_a_draw_does_not_depend_on_the_batch_it_rode_in():
    alone = run(search.Nucleus(0.9), num_draws=3, requests=(7,))
    among = run(search.Nucleus(0.9), num_draws=3, requests=(1, 7))
    np.testing.assert_array_equal(alone.tokens[0], among.tokens[1])


def test_draws_follow_the_model():
    found = run(search.Nucleus(), num_draws=2000).tokens[0]
    share = np.bincount(found[:, 0], minlength=V) / len(found)
    np.testing.assert_allclose(share, np.exp(Chain.table[0, 2]), atol=0.04)


@pytest.mark.parametrize(("top_p", "kept"), [(0.5, 1), (0.8, 2), (0.95, 3), (1.0, 4)])
def test_the_nucleus_is_the_fewest_tokens_that_make_up_its_share(top_p, kept):
    logits = jnp.log(jnp.array([[0.1, 0.6, 0.05, 0.25]]))
    left = search.Nucleus(top_p).keep(logits)[0]
    assert int(jnp.sum(left > -1e8)) == kept


def test_what_has_ended_is_padded_and_costs_nothing():
    found = run(search.Nucleus(), num_draws=500)
    ended = np.cumsum(np.isin(found.tokens[0], (EOS_ID, PAD_ID)), axis=-1) > 0
    after = np.roll(ended, 1, axis=-1)
    after[:, 0] = False
    assert after.any()
    assert (found.tokens[0][after] == PAD_ID).all()
    assert (found.log_probs[0][after] == 0).all()
