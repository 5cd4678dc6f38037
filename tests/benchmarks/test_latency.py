"""Models answer in turn; the figures are those of their calls and fit the table."""

import json
import types

import pytest

from benchmarks import latency
from codefusion import assemble, comparisons, config, inference
from codefusion.evaluation import latency as stored
from codefusion.evaluation import tables

DATA = dict(name="generated", source_length=40, target_length=20, size=50)
WORDS = types.SimpleNamespace(vocab_size=300, encode=str.split)


def generator(*, autoregressive=False):
    """Returns a Generator without weights."""
    chosen = config.base()
    chosen.data = dict(DATA, held_out_size=9)
    if autoregressive:
        comparisons.autoregressive(chosen)
        chosen.sampler = dict(name="beam")
    checked = assemble.check(chosen)
    parts = assemble.parts(checked, WORDS.vocab_size)
    return inference.Generator(checked, WORDS, parts, {"a": 1}, 7)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the calls under test move, and the order of these."""
    found = types.SimpleNamespace(now=0.0, order=[])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: found.now)
    return found


def taking(clock, name, *seconds):
    """Returns a call that takes these seconds in turn, the first to compile."""
    left = list(seconds)

    def call(text):
        clock.order.append((name, text))
        clock.now += left.pop(0)

    return call


def test_calls_follow_one_another_and_the_first_of_each_does_not_count(clock):
    calls = {
        "1": taking(clock, "1", 9.0, 0.001, 0.003, 0.005, 0.005),
        "greedy": taking(clock, "greedy", 9.0, *[0.002] * 4),
    }
    found = latency.measure(calls, ["a", "b"], rounds=2)
    assert found["1"] == pytest.approx(dict(median=4.0, low=2.0, high=5.0))
    assert found["greedy"] == pytest.approx(dict(median=2.0, low=2.0, high=2.0))
    names, texts = zip(*clock.order, strict=True)
    assert names == ("1", "greedy") * 5 and texts == tuple("aaaabbaabb")


def test_the_steps_as_long_as_greedy_are_on_the_line_through_the_medians():
    by_steps = {str(n): dict(median=3.0 + 2.0 * n) for n in (1, 5, 20)}
    assert latency.meeting(by_steps, dict(median=15.0)) == pytest.approx(6.0)
    assert latency.meeting(by_steps, dict(median=1.0)) is None  # one step is longer
    assert latency.meeting({"1": dict(median=3.0)}, dict(median=9.0)) is None


def test_one_draw_is_the_likeliest_of_one_request():
    diffusion = latency.one_draw(generator())
    greedy = latency.one_draw(generator(autoregressive=True))
    for model in (diffusion, greedy):
        chosen = model.config.inference
        assert chosen.num_draws == chosen.batch_size == chosen.num_candidates == 1
        assert (chosen.num_repairs, chosen.token_temperature) == (0, 0.0)
    assert (diffusion.config.sampler.name, greedy.config.sampler.name) == (
        "ddim",
        "nucleus",
    )
    latency.check_pair(diffusion, greedy)
    with pytest.raises(ValueError, match="--diffusion is of model.name 'autoreg"):
        latency.check_pair(greedy, greedy)
    with pytest.raises(ValueError, match="--greedy is of model.name 'codefusion'"):
        latency.check_pair(diffusion, diffusion)


def test_the_figures_fill_their_line_of_the_table(tmp_path, monkeypatch):
    def answer(self, utterances, *, steps=None, truncate=False):
        return [[inference.Candidate("a b", 0.0)] for _ in utterances]

    monkeypatch.setattr(inference.Generator, "generate", answer)
    monkeypatch.setattr(latency.provenance, "parameters", lambda model: 1_500_000)
    options = types.SimpleNamespace(steps=[1, 20], requests=3, rounds=2)
    found = latency.report(generator(), generator(autoregressive=True), options)
    path = tmp_path / "latency.json"
    path.write_text(json.dumps(found))
    assert stored.read(path) == json.loads(json.dumps(found))  # tuples become lists
    table = tables.build("latency", [tables.Entry("ours", (str(path),))])
    assert [row["title"] for row in table["rows"]] == ["CodeFusion 75M", "ours"]
    cells = {
        (column["group"], column["title"]): cell
        for column, cell in zip(
            table["columns"], table["rows"][1]["cells"], strict=True
        )
    }
    median = found["milliseconds"]["steps"]["20"]["median"]
    assert cells["ms a request", "20 steps"]["value"] == pytest.approx(median, abs=1e-5)
    assert cells["ms a request", "5 steps"] == {}
    assert cells["parameters, M", "greedy"] == {"value": 1.5}
    assert cells["written greedily", "tokens"] == {"value": 3.0}
    assert "3 requests, each answered 2 times" in table["footnotes"][1]


def test_a_file_that_is_no_latency_is_named(tmp_path):
    path = tmp_path / "a.json"
    for text, reason in (
        ("[]", "expected latencies of format 1"),
        ("nothing", "not JSON"),
        ('{"format": 1}', "header: is None; expected dict"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"a.json: {reason}"):
            stored.read(path)
