"""What a request gets, and what it does not depend on."""

import dataclasses
import functools
import importlib.util
import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import assemble, comparisons, decoding, diffusion, drawing, inference
from codefusion.analysis import trajectory
from codefusion.data import neighbors
from codefusion.data.tokenizer import EOS_ID, PAD_ID, Tokenizer
from pallas_kernels import interpreter

ROOT = pathlib.Path(__file__).parent.parent
SOURCE, TARGET = 16, 8
WORDS = "highlight cells greater than below between 10 25 300 color red text Yes No"
FIRST, SECOND, THIRD = "cells greater than 25", "text Yes", "color red below 300"


def untrained(drawn, change):
    """Returns a network of random parameters: every answer is a surprise.

    Args:
      drawn: the fixture, which draws them.
      change: of the tiny config, called with it.
    """
    spec = importlib.util.spec_from_file_location(
        "tiny_config", ROOT / "configs" / "tiny.py"
    )
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    given = tiny.get_config()
    given.data.update(source_length=SOURCE, target_length=TARGET)
    given.inference.update(num_candidates=2, num_draws=3, batch_size=2)
    given.inference.ranking = dict(name="none")
    change(given)
    given = assemble.check(given)
    words = WORDS.split()
    texts = [f"{a} {b} {c}" for a in words for b in words for c in words[::3]]
    tokenizer = Tokenizer.train(texts, vocab_size=320)
    built = assemble.parts(given, tokenizer.vocab_size)
    params = parameters(drawn, built.model)
    return inference.Generator(given, tokenizer, built, params, 0)


def parameters(drawn, model):
    source, target = jnp.zeros((1, SOURCE), int), jnp.zeros((1, TARGET), int)
    return drawn(model, source, source == 0, target)["params"]


@pytest.fixture(scope="module")
def generator(drawn):
    """A diffusion model of random parameters, no answer of which is short."""

    def change(given):
        given.sampler = dict(name="ddim", num_steps=3, eta=0.5)

    return untrained(drawn, change)


@pytest.mark.parametrize("search", ["beam", "nucleus"])
def test_an_autoregressive_model_answers_by_the_same_calls(search, drawn):
    def change(given):
        comparisons.autoregressive(given)
        given.sampler = dict(name=search)

    model = untrained(drawn, change)
    answers = model.generate([FIRST, SECOND, THIRD])
    assert [len(answer) for answer in answers] == [2, 2, 2]
    assert close(answers[2], model.generate([SECOND, FIRST, THIRD])[2])
    with pytest.raises(ValueError, match="steps is 5, but this model writes from left"):
        model.generate([FIRST], steps=5)
    with pytest.raises(ValueError, match="writes from left to right and denoises"):
        model.trajectory(FIRST)


@pytest.mark.parametrize("num_beams", [0, 2])
def test_draws_are_spread_over_the_contexts_of_a_request(drawn, num_beams):
    def change(given):
        given.sampler = dict(name="ddim", num_steps=2)
        given.data.source_length = 2 * SOURCE
        given.source.update(language_tag=True, num_neighbors=1, pool=2)
        given.training.mixture = (("tldr", 0.5),)
        given.model.update(causal_decoder=True)
        given.inference.update(num_draws=4, num_contexts=2, num_beams=num_beams)
        given.inference.num_repairs = 0

    plain = untrained(drawn, change)
    near = neighbors.Neighbors([SECOND, THIRD], ["GreaterThan(1)", "IsBlank()"])
    retrieval = neighbors.Retrieval(near, 1, 2)
    model = dataclasses.replace(plain, retrieval=retrieval)
    sources = model._sources([FIRST], 2, False, "cf")[0]
    assert sources.shape == (2, 2 * SOURCE + TARGET)
    assert (sources[0, : 2 * SOURCE] == sources[1, : 2 * SOURCE]).all()
    assert (sources[0] != sources[1]).any()
    answers = model.generate([FIRST, SECOND], language="bash")
    assert [len(answer) for answer in answers] == [2, 2]
    assert model.trajectory(FIRST, num_draws=1)[1].tokens.shape == (2, 1, TARGET)
    with pytest.raises(ValueError, match="expected one of cf, bash"):
        model.generate([FIRST], language="python")


@pytest.fixture(scope="module")
def answer(generator):
    """The answer to FIRST alone, with seed 0."""
    return generator.generate([FIRST])[0]


def texts(answers):
    return [[candidate.text for candidate in answer] for answer in answers]


def close(first, second):
    """Whether two answers are the same texts; sums may differ in the last bits."""
    assert texts([first]) == texts([second])
    scores = [[candidate.log_prob for candidate in a] for a in (first, second)]
    np.testing.assert_allclose(*scores, rtol=1e-5)
    return True


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(
    generator, answer
):
    assert generator.generate([FIRST])[0] == answer
    assert texts(generator.generate([FIRST], seed=1))[0] != texts([answer])[0]


def test_an_answer_depends_on_the_request(generator, answer):
    assert texts(generator.generate([SECOND]))[0] != texts([answer])[0]


def test_an_answer_does_not_depend_on_its_neighbours(generator, answer):
    for others in ([SECOND], [THIRD], [SECOND, THIRD], [FIRST] * 4):
        assert generator.generate([FIRST, *others])[0] == answer
    one = generator.generate([SECOND, THIRD, FIRST])
    two = generator.generate([FIRST, THIRD, SECOND])
    assert one[1] == two[1] and one[0] != two[0]


def test_the_same_request_in_another_place_draws_other_noise(generator):
    answers = generator.generate([FIRST] * 3)
    assert len({tuple(row) for row in texts(answers)}) == 3


def with_settings(generator, **changes):
    """Returns the generator with other inference settings, or another rounding."""
    given = type(generator.config)(generator.config.to_dict())
    given.inference.update(changes)
    parts = generator.parts
    if "rounding" in changes:
        rounding = diffusion.ROUNDINGS[changes["rounding"]["name"]]()
        parts = dataclasses.replace(parts, rounding=rounding)
    return dataclasses.replace(generator, config=given, parts=parts)


def test_an_answer_does_not_depend_on_how_many_are_computed_together(generator, answer):
    answers = with_settings(generator, batch_size=5).generate([FIRST, SECOND, THIRD])
    assert close(answers[0], answer)
    expected = generator.generate([FIRST, SECOND, THIRD])
    assert all(close(a, b) for a, b in zip(answers, expected, strict=True))


def test_progress_counts_the_answers(generator):
    seen = []
    answers = generator.generate([FIRST, SECOND, THIRD], progress=seen.append)
    assert len(answers) == 3 and seen == [2, 3]
    assert generator.generate([]) == []


def test_num_candidates_is_honoured_beyond_the_draws_of_the_config(generator, answer):
    (more,) = generator.generate([FIRST], num_candidates=4)
    assert len(answer) == 2 and len(more) == 4
    # A draw's noise hangs on its number alone, so that more draws keep the first.
    assert close(more[:2], answer)
    (fewer,) = generator.generate([FIRST], num_candidates=1)
    assert close(fewer, answer[:1])


def test_a_stream_gives_each_batch_when_it_is_done(generator):
    utterances = [FIRST, SECOND, THIRD]
    stream = generator.stream(utterances)
    batches = [next(stream), *stream]
    assert [len(batch) for batch in batches] == [2, 1]
    assert batches[0] + batches[1] == generator.generate(utterances)
    assert [*generator.stream(utterances, start=2)] == batches[1:]
    for wrong in (1, -2):
        with pytest.raises(ValueError, match=f"start is {wrong}; expected a multiple"):
            next(generator.stream(utterances, start=wrong))


def test_generators_of_one_config_share_their_programs(generator):
    traced = []

    @dataclasses.dataclass(frozen=True)
    class Counting(diffusion.ROUNDINGS["decoder"]):
        def __call__(self, x0_hat, table):
            traced.append(x0_hat.shape)
            return x0_hat

    def run():
        vocab_size = generator.tokenizer.vocab_size
        parts = assemble.parts(generator.config, vocab_size)
        parts = dataclasses.replace(parts, rounding=Counting())
        again = dataclasses.replace(generator, parts=parts)
        return again.generate([FIRST]), trajectory.film(again, FIRST)

    first = run()
    count = len(traced)
    assert count and run() == first and len(traced) == count


@pytest.mark.parametrize("name", ["num_candidates", "steps"])
@pytest.mark.parametrize("count", [0, -1, 2.5, "2"])
def test_what_is_no_count_is_an_error(generator, name, count):
    with pytest.raises(ValueError, match=f"{name} is {count!r}; expected an int from"):
        generator.generate([FIRST], **{name: count})


def test_the_network_is_called_once_a_step(generator, answer):
    calls = []

    def count(x0_hat):
        jax.debug.callback(lambda _: calls.append(1), x0_hat[0, 0, 0])
        return x0_hat

    rounding = type("Counting", (), {"reads_decoder": True})
    rounding.__call__ = lambda self, x0_hat, table: count(x0_hat)
    parts = dataclasses.replace(generator.parts, rounding=rounding())
    counting = dataclasses.replace(generator, parts=parts)
    (other,) = counting.generate([FIRST], steps=5)
    jax.effects_barrier()
    assert len(calls) == 5
    assert texts([other]) != texts([answer])


def test_guidance_of_one_is_the_answer_without_guidance(generator, answer):
    assert generator.generate([FIRST], guidance=1.0)[0] == answer
    guesses = jax.random.normal(jax.random.key(0), (2, 1, 4, 3))
    np.testing.assert_allclose(diffusion.guide(*guesses, guidance=1.0), guesses[0])
    near = diffusion.guide(*guesses, guidance=1.0 + 1e-6)
    np.testing.assert_allclose(near, guesses[0], atol=1e-5)
    np.testing.assert_allclose(diffusion.guide(*guesses, guidance=0.0), guesses[1])


def test_guidance_moves_the_answer(generator, answer):
    assert texts(generator.generate([FIRST], guidance=4.0)) != texts([answer])


@pytest.mark.parametrize("utterance", ["", "   ", "\n", 3, None])
def test_an_utterance_that_is_no_text_is_an_error(generator, utterance):
    with pytest.raises(ValueError) as error:
        generator.generate([FIRST, utterance])
    assert str(error.value) == f"The utterance is {utterance!r}; expected some text."


def test_an_utterance_that_is_too_long_is_an_error_in_one_line_with_the_limit(
    generator,
):
    with pytest.raises(ValueError) as error:
        generator.generate([WORDS])
    line = str(error.value)
    length = len(generator.tokenizer.encode(WORDS))
    assert "\n" not in line and "truncate" in line
    assert f"has {length} tokens; expected at most {SOURCE - 1} " in line


def test_an_utterance_of_the_greatest_length_is_taken_whole(generator):
    ids = generator.tokenizer.encode(WORDS)[: SOURCE - 1]
    longest = generator.tokenizer.decode(ids)
    assert generator.encode(longest) == [*ids, EOS_ID]


def test_truncate_answers_as_if_the_rest_had_not_been_said(generator):
    cut = generator.tokenizer.decode(generator.tokenizer.encode(WORDS)[: SOURCE - 1])
    long, short = generator.generate([WORDS], truncate=True), generator.generate([cut])
    assert long == short
    assert len(generator.encode(WORDS, truncate=True)) == SOURCE


def test_a_token_temperature_draws_from_the_head(generator):
    hot, cold = (
        with_settings(generator, token_temperature=t, prefer_valid=False)
        for t in (1.0, 0.0)
    )
    (drawn,), (likeliest,) = hot.generate([FIRST]), cold.generate([FIRST])
    assert texts([drawn]) != texts([likeliest])
    assert hot.generate([FIRST])[0] == drawn
    assert max(c.log_prob for c in drawn) < max(c.log_prob for c in likeliest)


def without(generator, refused, **changes):
    """Returns the generator with programs that are said not to parse."""
    changed = with_settings(generator, **changes)
    parts = dataclasses.replace(
        changed.parts, is_valid=lambda t, language: t not in refused
    )
    return dataclasses.replace(changed, parts=parts)


def test_a_draw_that_does_not_parse_gives_way_to_its_likeliest_repair(generator):
    one = with_settings(generator, num_draws=1, num_candidates=1, prefer_valid=False)
    (drawn,) = one.generate([FIRST])[0]
    sources, numbers = one._sources([FIRST, FIRST], 1, False, None), jnp.arange(2)
    source = sources[:, 0]
    mask = source != PAD_ID
    plan = one._plan(one._settings(), None)
    draws = drawing.draw(plan, one.params, source, mask, jax.random.key(0), numbers)
    row = decoding.Draw(*(np.asarray(leaf[0, 0]) for leaf in draws))
    listed = [one.tokenizer.decode(t) for t, _ in _first(decoding.by_probability(row))]
    refused = {drawn.text, *listed[:3]}
    expected = next(text for text in listed if text not in refused)
    (repaired,) = without(one, refused, num_repairs=50).generate([FIRST])[0]
    assert repaired.text == expected and np.isfinite(repaired.log_prob)
    assert without(one, refused, num_repairs=0).generate([FIRST])[0] == [drawn]
    assert without(one, {}, num_repairs=50).generate([FIRST])[0] == [drawn]


def _first(sequences):
    return itertools.islice(sequences, 50)


def test_a_draw_without_a_repair_that_parses_stays_as_drawn(generator):
    class Everything:
        def __contains__(self, text):
            return True

    before = with_settings(generator, num_repairs=0).generate([FIRST])[0]
    after = without(generator, Everything(), num_repairs=9).generate([FIRST])[0]
    assert after == before


@functools.cache
def _rounded(generator, name):
    return with_settings(generator, rounding=dict(name=name)).generate([FIRST])[0]


def test_grounding_and_clamping_answer_in_their_own_way(generator, answer):
    found = {tuple(texts([answer])[0])}
    for name in ("grounding", "clamping"):
        candidates = _rounded(generator, name)
        assert len(candidates) == 2
        assert all(np.isfinite(c.log_prob) and c.log_prob <= 0 for c in candidates)
        found.add(tuple(texts([candidates])[0]))
    assert len(found) == 3


def test_a_film_ends_in_the_draws_of_its_request(generator):
    plain = with_settings(generator, token_temperature=0.0, prefer_valid=False)
    expected = texts(plain.generate([SECOND, FIRST], num_candidates=3))[1]
    film = trajectory.film(plain, FIRST, number=1, num_draws=3)
    assert [film.texts(draw)[-1] for draw in range(3)] == expected
    assert film.frames(2)[-1].text == expected[0]
    assert [still.step for still in film.stills] == [1, 2, 3]
    times = [still.t for still in film.stills]
    assert times[0] == 1.0 and sorted(times, reverse=True) == times


def plain(generator, drawn, denoiser):
    """Returns a generator of plain attention and a deterministic sampler."""
    given = type(generator.config)(generator.config.to_dict())
    given.model.alignment_rounds = 0
    given.sampler = dict(name="ddim", num_steps=3, eta=0.0)
    given.inference.denoiser = denoiser
    given = assemble.check(given)
    parts = assemble.parts(given, generator.tokenizer.vocab_size)
    params = parameters(drawn, parts.model)
    return dataclasses.replace(generator, config=given, parts=parts, params=params)


def test_one_program_of_all_steps_gives_the_answers_of_the_loop(generator, drawn):
    loop, resident = (plain(generator, drawn, name) for name in ("scanned", "resident"))
    expected = loop.generate([FIRST, SECOND])
    with interpreter.interpreted():
        found = resident.generate([FIRST, SECOND])
    assert texts(found) == texts(expected)
    scores = [[c.log_prob for row in rows for c in row] for rows in (found, expected)]
    np.testing.assert_allclose(*scores, rtol=1e-4)
    assert trajectory.film(resident, FIRST) == trajectory.film(loop, FIRST)
    # Where there is no TPU, the loop serves.
    assert texts(resident.generate([FIRST], seed=1)) == texts(
        loop.generate([FIRST], seed=1)
    )


def test_a_string_in_the_place_of_a_list_is_refused(generator):
    with pytest.raises(ValueError, match="utterances is a str; expected a list"):
        generator.generate(FIRST)
