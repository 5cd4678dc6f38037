"""A causal decoder behind the denoiser: it sees the plan and no future."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import diffusion, drawing, models, search
from codefusion.data.tokenizer import EOS_ID, PAD_ID

B, S, L, V, E = 2, 6, 5, 20, 8
FIELDS = dict(
    vocab_size=V,
    width=12,
    embedding_width=E,
    num_heads=2,
    head_width=4,
    mlp_width=16,
    encoder_layers=1,
    denoiser_layers=1,
    decoder_layers=2,
    max_source_length=S,
    max_target_length=L,
    causal_decoder=True,
)
RNG = np.random.default_rng(0)
SOURCE, TARGET = (jnp.asarray(RNG.integers(5, V, (B, n))) for n in (S, L))
PLAN = jnp.asarray(RNG.normal(size=(B, L, E)), jnp.float32)
MASK = jnp.arange(S)[None] < jnp.array([S, 3])[:, None]


@functools.cache
def compiled(model):
    return jax.jit(model.apply, static_argnames=("method", "mutable"))


@pytest.fixture(params=[False, True], ids=["layers", "scanned"])
def bound(request, drawn):
    """Returns `call(method, *args)` of a model, with or without scanned layers."""
    model = models.CodeFusion(**FIELDS, scan_layers=request.param)
    variables = drawn(model, SOURCE, MASK, TARGET)

    def call(method, *args, cache=None, **kwargs):
        found = variables | ({"cache": cache} if cache else {})
        return compiled(model)(found, *args, method=method, **kwargs)

    call.model, call.params = model, variables["params"]
    return call


def decode(bound, plan, target):
    """Returns log-probabilities of whole programs, float32[B, L, V]."""
    context = bound("encode", SOURCE, MASK)
    return bound("decode", plan, context, target)[1]


def test_a_position_sees_the_tokens_before_it_and_no_others(bound):
    before = decode(bound, PLAN, TARGET)
    other = jnp.where(TARGET[:, 2] == 5, 6, 5)
    after = decode(bound, PLAN, TARGET.at[:, 2].set(other))
    chex.assert_trees_all_equal(before[:, :3], after[:, :3])
    assert jnp.all(jnp.max(jnp.abs(before - after)[:, 3:], axis=-1) > 1e-5)


def test_every_position_sees_the_whole_plan(bound):
    before = decode(bound, PLAN, TARGET)
    for position in (0, L - 1):
        after = decode(bound, PLAN.at[:, position].add(1.0), TARGET)
        assert jnp.all(jnp.max(jnp.abs(before - after), axis=-1) > 1e-6)


def test_tokens_one_by_one_get_the_probabilities_of_whole_programs(bound):
    expected = decode(bound, PLAN, TARGET)
    context = bound("planned", PLAN, bound("encode", SOURCE, MASK))
    token, cache = jnp.full(B, bound.model.start_id), {}
    for position in range(L):
        found, state = bound(
            "write_next",
            token,
            jnp.int32(position),
            context,
            cache=cache,
            mutable="cache",
        )
        chex.assert_trees_all_close(found, expected[:, position], atol=1e-5)
        token, cache = TARGET[:, position], state["cache"]


def plan_of(model, **changes):
    """Returns a `drawing.Plan` of a model, greedy but for the changes."""
    fields = dict(num_draws=1, token_temperature=0.0) | changes
    return drawing.Plan(
        model=model,
        process=diffusion.GaussianProcess(diffusion.SCHEDULES["sqrt"](), 0.5),
        rounding=diffusion.ROUNDINGS["decoder"](),
        sampler=diffusion.SAMPLERS["ddim"](num_steps=2),
        target_length=L,
        guidance=1.0,
        temperature=1.0,
        is_resident=False,
        **fields,
    )


def test_greedy_draws_are_the_likeliest_tokens_given_those_before(drawn):
    model = models.CodeFusion(**FIELDS)
    params = drawn(model, SOURCE, MASK, TARGET)["params"]
    plan = plan_of(model)
    key, numbers = jax.random.key(0), jnp.arange(1)
    draws = drawing.draw(plan, params, SOURCE[:1], MASK[:1], key, numbers)
    seen = drawing.trajectory(plan, params, SOURCE[:1], MASK[:1], key, 0)
    chex.assert_trees_all_equal(seen.tokens[-1], draws.tokens[0])

    variables = {"params": params}
    context = compiled(model)(variables, SOURCE, MASK, method="encode")
    planned = compiled(model)(variables, PLAN, context, method="planned")
    keys = jax.random.split(key, B)
    settings = search.Plan(model, search.Nucleus(), L, 1, 0.0)
    found = np.asarray(search.write(settings, params, planned, keys).tokens)
    scored = compiled(model)(variables, PLAN, context, found, method="decode")[1]
    goes_on = ~np.isin(found, (EOS_ID, PAD_ID))
    first = np.ones((B, 1), bool)
    going = np.cumprod(np.concatenate([first, goes_on[:, :-1]], axis=1), axis=1)
    np.testing.assert_array_equal(scored.argmax(-1) * going, found * going)


def test_beams_are_those_of_each_plan(drawn):
    model = models.CodeFusion(**FIELDS)
    params = drawn(model, SOURCE, MASK, TARGET)["params"]
    key, numbers = jax.random.key(0), jnp.arange(B)

    def draw(**changes):
        plan = plan_of(model, **changes)
        return drawing.draw(plan, params, SOURCE, MASK, key, numbers)

    # A single beam is greedy decoding, so that the draws tell the plans apart.
    greedy = draw(num_draws=3)
    chex.assert_trees_all_close(draw(num_draws=3, num_beams=1), greedy, atol=1e-5)
    found = draw(num_draws=12, num_beams=4)
    assert found.tokens.shape == (B, 12, L)
    alone = draw(num_draws=4, num_beams=4)
    first = jax.tree.map(lambda leaf: leaf[:, :4], found)
    chex.assert_trees_all_close(first, alone, atol=1e-5)  # whatever plans lie beside it
    totals = np.asarray(found.log_probs).sum(-1).reshape(B, 3, 4)
    assert (np.diff(totals, axis=-1) <= 0).all()  # the best first, plan by plan
    programs = np.asarray(found.tokens).reshape(-1, 4, L)
    assert all(len(np.unique(beams, axis=0)) == 4 for beams in programs)
