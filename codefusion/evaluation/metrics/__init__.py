"""The metrics. Each scores one candidate against its row, in [0, 1], higher better.

A metric is a frozen dataclass with `name`, `languages` (None for any) and
`score(prediction, example) -> float`; one with a field `language` or `embed` is told
it. One that may lack something it needs has `unavailable`, which says what. A new
metric is a file here and a line in METRICS.
"""

import dataclasses

from codefusion.evaluation.metrics.chrf import ChrF
from codefusion.evaluation.metrics.code_bleu import CodeBleuStyle
from codefusion.evaluation.metrics.codebert_score import CodeBertScore
from codefusion.evaluation.metrics.diversity import Diversity
from codefusion.evaluation.metrics.edit_similarity import EditSimilarity
from codefusion.evaluation.metrics.exact_match import ExactMatch
from codefusion.evaluation.metrics.execution_match import ExecutionMatch
from codefusion.evaluation.metrics.template_match import (
    LooseTemplateMatch,
    StrictTemplateMatch,
)
from codefusion.evaluation.metrics.validity import Validity

METRICS = {
    "exact_match": ExactMatch,
    "edit_similarity": EditSimilarity,
    "chrf": ChrF,
    "code_bleu_style": CodeBleuStyle,
    "template_match_loose": LooseTemplateMatch,
    "template_match_strict": StrictTemplateMatch,
    "execution_match": ExecutionMatch,
    "codebert_score": CodeBertScore,
    "validity": Validity,
}


def choose(language, names=(), *, embed=None):
    """Returns the metrics that apply to a language, list.

    Args:
      language: "cf", "bash" or "python".
      names: keys of METRICS to keep, all if empty; those of other languages go.
      embed: token embeddings of a text for `codebert_score`, str -> float[T, D], or
        None where there is no such model.

    Returns:
      Metric objects in the order of `names`, or of METRICS.
    """
    unknown = sorted(set(names) - set(METRICS))
    if unknown:
        raise ValueError(
            f"evaluation.metrics holds {unknown}; expected some of {sorted(METRICS)}."
        )
    classes = [METRICS[name] for name in names or METRICS]
    return [
        _build(metric, language=language, embed=embed)
        for metric in classes
        if metric.languages is None or language in metric.languages
    ]


def _build(metric, **given):
    """Returns a metric, told those of the given values that it has a field for."""
    fields = {field.name for field in dataclasses.fields(metric)}
    return metric(**{key: given[key] for key in fields & set(given)})


__all__ = ["METRICS", "Diversity", "choose"]
