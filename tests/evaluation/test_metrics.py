"""Metrics agree with outside implementations where there are any."""

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codefusion.data.rows import Example
from codefusion.evaluation import metrics
from codefusion.evaluation.metrics import METRICS, codebert_score

CODES = {
    "bash": "find . -name '*.py' -exec grep -l main {} \\; | sort -r > out",
    "python": "def f(a, b):\n    return [x for x in a if x in b]",
    "cf": "AND(GreaterThan(25), NOT(TextContains(total)))",
}
text = st.text(max_size=60)


def all_metrics():
    """Returns every metric for every language it applies to, but unavailable ones."""
    return [
        (language, metric)
        for language in CODES
        for metric in metrics.choose(language)
        if not getattr(metric, "unavailable", "")
    ]


def row(code):
    return Example(id="1", utterance="do it", code=code)


@pytest.mark.parametrize("language, metric", all_metrics())
def test_the_reference_itself_scores_one(language, metric):
    assert metric.score(CODES[language], row(CODES[language])) == pytest.approx(1.0)


@pytest.mark.parametrize("language, metric", all_metrics())
@settings(max_examples=60, deadline=None)
@given(prediction=text, code=text)
def test_every_score_of_any_texts_is_in_the_unit_interval(
    language, metric, prediction, code
):
    assert 0.0 <= metric.score(prediction, row(code)) <= 1.0 + 1e-12


@pytest.mark.parametrize("language, metric", all_metrics())
def test_an_empty_prediction_scores_nothing(language, metric):
    assert metric.score("", row(CODES[language])) == 0.0


def test_chrf_equals_sacrebleu_on_programs_and_on_noise():
    chrf = pytest.importorskip(
        "sacrebleu.metrics", reason="sacrebleu is not installed"
    ).CHRF()
    draw = random.Random(0)
    pairs = [(a, b) for a in CODES.values() for b in CODES.values()]
    for _ in range(200):
        pairs.append(
            tuple("".join(draw.choices("ab é\n-", k=draw.randrange(30))) for _ in "12")
        )
    for guess, gold in pairs:
        expected = chrf.sentence_score(guess, [gold]).score / 100
        assert METRICS["chrf"]().score(guess, row(gold)) == pytest.approx(
            expected, abs=1e-9
        )


@settings(max_examples=200, deadline=None)
@given(text, text)
def test_edit_similarity_equals_rapidfuzz(guess, gold):
    rapidfuzz = pytest.importorskip("rapidfuzz", reason="rapidfuzz is not installed")
    expected = rapidfuzz.distance.Levenshtein.normalized_similarity
    assert METRICS["edit_similarity"]().score(guess, row(gold)) == pytest.approx(
        expected(guess.strip(), gold.strip()), abs=1e-12
    )


def test_exact_match_ignores_white_space_around_the_code_only():
    exact = METRICS["exact_match"]()
    assert exact.score(" ls -l\n", row("ls -l")) == 1.0
    assert exact.score("ls  -l", row("ls -l")) == 0.0


def bleu_style(guess, gold, language="python"):
    return METRICS["code_bleu_style"](language).score(guess, row(gold))


def test_code_bleu_style_forgives_layout():
    assert bleu_style("f( a,b )", "f(a, b)") == pytest.approx(1.0)


def test_code_bleu_style_prefers_the_right_shape_to_the_right_words():
    gold = "print(sorted(names))"
    same_shape, same_words = "print(sorted(words))", "names sorted print"
    assert bleu_style(same_shape, gold) > 2 * bleu_style(same_words, gold)


def test_code_bleu_style_weighs_keywords_and_in_bash_utilities_and_flags():
    gold = "for x in y: return z"
    assert bleu_style("for a in b: return c", gold) > bleu_style("q x w y: e z", gold)
    kept = bleu_style("find a -name b", "find x -name y", "bash")
    assert kept > bleu_style("cat x -type y", "find x -name y", "bash")


def test_code_bleu_style_counts_missing_code_against_a_prediction():
    gold = "a = 1\nb = 2\nc = 3\nd = 4"
    scores = [bleu_style("\n".join(gold.split("\n")[:n]), gold) for n in (1, 2, 3, 4)]
    assert scores == sorted(scores) and scores[0] < 0.5 < scores[3]


def test_codebert_score_without_a_model_says_what_it_needs():
    metric = METRICS["codebert_score"]()
    assert metric.unavailable == "not available: needs --codebert"
    with pytest.raises(ValueError, match="needs --codebert"):
        metric.score("x", row("x"))


def test_codebert_score_is_told_the_model_it_is_given():
    (metric,) = metrics.choose("python", ("codebert_score",), embed=lambda s: np.eye(3))
    assert not metric.unavailable
    assert metric.score("x", row("y")) == pytest.approx(1.0)


def test_codebert_score_weighs_recall_nine_times_as_much_as_precision():
    embed = lambda words: np.eye(9)[[int(c) for c in words]]  # noqa: E731
    metric = codebert_score.CodeBertScore(embed=embed)
    assert metric.score("012", row("012")) == pytest.approx(1.0)
    half_precise, half_recalled = (
        metric.score("01", row("0")),
        metric.score("0", row("01")),
    )
    assert half_precise == pytest.approx(10 * 0.5 / (9 * 0.5 + 1))
    assert half_recalled == pytest.approx(10 * 0.5 / (9 + 0.5))
    assert metric.score("3", row("01")) == metric.score("", row("01")) == 0.0


def test_choose_keeps_what_applies_to_the_language_in_order():
    names = [
        m.name for m in metrics.choose("bash", ("validity", "execution_match", "chrf"))
    ]
    assert names == ["validity", "chrf"]
    assert "template_match_loose" not in [m.name for m in metrics.choose("python")]


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="evaluation.metrics holds .'blue'.*chrf"):
        metrics.choose("bash", ("blue",))


def test_every_metric_is_registered_under_its_own_name():
    for name, metric in METRICS.items():
        told = {f.name for f in dataclasses.fields(metric)} & {"language"}
        assert metric(**dict.fromkeys(told, "bash")).name == name
