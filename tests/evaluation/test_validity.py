"""Validity is the parser's verdict, in the language of the data set."""

from codefusion.evaluation.metrics import METRICS


def test_the_metric_scores_the_language_it_was_built_for(example):
    assert METRICS["validity"]("python").score("x = 1", example("")) == 1.0
    assert METRICS["validity"]("cf").score("x = 1", example("")) == 0.0
