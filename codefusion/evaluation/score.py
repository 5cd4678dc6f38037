"""Scores a predictions file against its data set.

Top-k is the best of the first k candidates, so it can only rise with k. Every mean
has an interval over rows (`intervals.py`). A row whose reference also occurs in
anything that the run was trained on, pairs or code, is "seen in training", and seen and
unseen rows are scored apart as well.
"""

import dataclasses
import json

import numpy as np

from codefusion import files
from codefusion.data import report
from codefusion.evaluation import metrics as metrics_package
from codefusion.evaluation.intervals import Bootstrap
from codefusion.evaluation.predict import choose_rows, read_predictions

FORMAT = 2
TOP = (1, 3, 5)


def score(
    predictions_path,
    dataset,
    metrics=(),
    *,
    others=(),
    embed=None,
    seed=0,
    num_resamples=1000,
):
    """Returns the scores of a predictions file, as scores.json holds them.

    Args:
      predictions_path: of the file that `write_predictions` wrote.
      dataset: the data set it names: `name`, `language`, `scheme`, `content_hash`,
        `examples(split)` and `quarantined(split)`; hashable.
      metrics: names in METRICS, all that apply if empty; or metric objects.
      others: what the run was trained on beside the data set's train split, built.
      embed: token embeddings for metrics chosen by name that compare them,
        str -> float[T, D]; None where there is no such model.
      seed: of the bootstrap, int.
      num_resamples: of the bootstrap, int.

    Returns:
      Header, settings, `metrics` by name (top1, top3, top5), `diversity`,
      `seen_in_training` (by the train split or by others), `seen_in_train_split` (by
      that alone), and `unavailable` metrics with the reason, dict.

    Raises:
      ValueError: the file is of other data, or of other rows.
    """
    header, rows = read_predictions(predictions_path)
    _check_same_data(header, dataset, predictions_path)
    pairs = _join(rows, dataset, header, predictions_path)
    references = [example for _, example in pairs]
    seen = _seen(references, (dataset, *others))
    bootstrap = Bootstrap(seed=seed, num_resamples=num_resamples)
    chosen = _choose(metrics, dataset.language, embed)
    ready = [metric for metric in chosen if not getattr(metric, "unavailable", "")]
    return {
        "format": FORMAT,
        "header": header,
        "language": dataset.language,
        "rows": len(pairs),
        "candidates": min(len(row["candidates"]) for row, _ in pairs),
        "bootstrap": dataclasses.asdict(bootstrap),
        "quarantined": len(dataset.quarantined(header["split"])),
        "seen_in_training": bootstrap.summary(seen),
        "seen_in_train_split": bootstrap.summary(_seen(references, (dataset,))),
        "metrics": {m.name: _top(m, pairs, seen, bootstrap) for m in ready},
        "diversity": _diversity(pairs, bootstrap),
        "unavailable": {m.name: m.unavailable for m in chosen if m not in ready},
    }


def best_of_first(predictions_path, dataset, metric):
    """Returns the best score among the first k candidates of each row.

    Args:
      predictions_path, dataset: as in `score`.
      metric: a metric object.

    Returns:
      float64[R, K], R rows in the order of the data set, K the fewest candidates that
      any has, 5 at most.
    """
    header, rows = read_predictions(predictions_path)
    _check_same_data(header, dataset, predictions_path)
    return np.array(
        _best_of_each(metric, _join(rows, dataset, header, predictions_path))
    )


def write_scores(path, scores):
    """Writes scores.json, its keys sorted so that equal scores are equal files.

    Args:
      path: of the file, str or path.
      scores: what `score` returned, dict.
    """
    text = json.dumps(scores, indent=2, sort_keys=True, allow_nan=False)
    files.write_whole(path, text + "\n")


def read_scores(path):
    """Returns the scores that `write_scores` wrote, dict."""
    with open(path, encoding="utf-8") as file:
        try:
            scores = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: not JSON: {error}.") from None
    if not isinstance(scores, dict) or scores.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a scores file of format {FORMAT}; score its predictions "
            "again: codefusion evaluate --predictions=FILE."
        )
    return scores


def _seen(references, trained_on):
    """Returns whether any of the data sets trains on each reference, list[bool]."""
    known = [report.programs(dataset) for dataset in trained_on]
    codes = [example.code.strip() for example in references]
    return [any(code in programs for programs in known) for code in codes]


def _choose(metrics, language, embed):
    if any(isinstance(metric, str) for metric in metrics) or not metrics:
        return metrics_package.choose(language, metrics, embed=embed)
    return list(metrics)


def _check_same_data(header, dataset, path):
    expected = {
        "dataset": dataset.name,
        "scheme": dataset.scheme,
        "data_hash": dataset.content_hash,
    }
    for key, value in expected.items():
        if header[key] != value:
            raise ValueError(
                f"{path}:1: {key}: is {header[key]!r}, but the data set given to score "
                f"it has {value!r}; score it against the data it was made from."
            )


def _join(rows, dataset, header, path):
    """Returns pairs (prediction row, example) in the order of the data set."""
    examples = choose_rows(dataset.examples(header["split"]), header["max_rows"])
    by_id = {row["id"]: row for row in rows}
    ids = [example.id for example in examples]
    if len(set(ids)) != len(ids):
        raise ValueError(f"{dataset.name}: two rows of {header['split']} share an id.")
    lacking, others = sorted(set(ids) - set(by_id)), sorted(set(by_id) - set(ids))
    _check_ids(lacking, "has no prediction for", path)
    _check_ids(others, "has rows that are not in the split:", path)
    if not ids:
        raise ValueError(f"{path}: the split {header['split']!r} has no rows to score.")
    return [(by_id[example.id], example) for example in examples]


def _check_ids(ids, fault, path):
    if ids:
        more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
        raise ValueError(
            f"{path}: {fault} {', '.join(ids[:3])}{more}; expected one for each row of "
            "the header's split and max_rows."
        )


def _top(metric, pairs, seen, bootstrap):
    """Returns top-k summaries of one metric, dict; seen and unseen rows within each."""
    table = _best_of_each(metric, pairs)
    tops = [k for k in TOP if k <= len(table[0])]
    summaries = {}
    for k in tops:
        values = [best[k - 1] for best in table]
        parts = {
            name: [v for v, flag in zip(values, seen, strict=True) if flag == want]
            for name, want in (("seen", True), ("unseen", False))
        }
        summaries[f"top{k}"] = bootstrap.summary(values) | {
            name: bootstrap.summary(part) for name, part in parts.items()
        }
    return summaries


def _best_of_each(metric, pairs):
    """Returns what `_best` does for each row, of as many candidates as all have."""
    fewest = min(max(TOP), *(len(row["candidates"]) for row, _ in pairs))
    return [
        _best(metric, row["candidates"][:fewest], example) for row, example in pairs
    ]


def _best(metric, candidates, example):
    """Returns the best score among the first 1, 2, ... candidates, list[float]."""
    best, scores = [], {}
    for text in candidates:
        if text not in scores:
            scores[text] = metric.score(text, example)
        best.append(max(scores.values()))
    return best


def _diversity(pairs, bootstrap):
    diversity = metrics_package.Diversity()
    rows = [diversity.score(row["candidates"]) for row, _ in pairs]
    return {
        part: bootstrap.summary([row[part] for row in rows]) for part in diversity.parts
    }
