"""The charts of a work directory: from `metrics.jsonl` and from files of scores."""

import collections
import json
import pathlib
import statistics

from codefusion.analysis import charts
from codefusion.analysis.charts import Chart, Line
from codefusion.evaluation import score
from codefusion.training import records

# In a row of a stage, but no part of its loss.
_BESIDE = {
    "step",
    "stage",
    "loss",
    "grad_norm",
    "update_norm",
    "learning_rate",
    "examples_per_second",
    "train_seconds",
}
_EVALUATION, _SPEED = "evaluation", "examples_per_second"
_PREFIX = "validation_"
# Values that lie further apart than this are read off a logarithmic axis.
_WIDE = 20
_UNITS = ((7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
_TOPS = ("top1", "top5")


def of_metrics(path):
    """Returns the charts of a metrics file, a list, of what it has something to show.

    Args:
      path: of a `metrics.jsonl`; it may be absent.
    """
    rows = records.read_rows(path)
    stages = [row for row in rows if row.get("loss") is not None]
    scores = [row for row in rows if row["stage"] == _EVALUATION]
    seconds = max((row.get("train_seconds", 0.0) for row in rows), default=0.0)
    unit, word = next((u, w) for least, u, w in _UNITS if seconds >= least)
    steps = dict(x_label="step", borders=_borders(stages))
    time = dict(x_label=f"training time, {word}", unit=unit)
    loss = dict(may_log=True, **steps)
    rate, speed = ["learning_rate"], [_SPEED]
    entropy, norms = ["cross_entropy"], ["grad_norm", "update_norm"]
    found = [
        _chart("losses", "Loss by part", "loss", stages, _parts(stages), **loss),
        _chart("cross_entropy", "Cross-entropy", "nats", stages, entropy, **time),
        _chart("validation", "Validation", "score", scores, _scores(scores), **time),
        _chart("learning_rate", "Learning rate", "rate", stages, rate, **steps),
        _chart("throughput", "Throughput", "examples/s", stages, speed, **steps),
        _chart("norms", "Norms", "norm", stages, norms, **loss),
    ]
    return [chart for chart in found if chart]


def of_steps(folder):
    """Returns the charts of quality against denoising steps, a list.

    A chart for each data set, split, checkpoint and sampler of which scores of several
    step counts lie in the folder.

    Args:
      folder: of files that `score.write_scores` wrote; it may be absent.
    """
    groups = collections.defaultdict(dict)
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        scores = _scores_at(path)
        if scores and scores["header"].get("num_steps"):
            told = scores["header"]
            keys = ("dataset", "scheme", "split", "checkpoint_step", "sampler", "seed")
            group = (*(told[key] for key in keys), scores["rows"], _settings(told))
            groups[group][told["num_steps"]] = scores["metrics"]
    several = {group: found for group, found in groups.items() if len(found) > 1}
    return [_quality(i, *each) for i, each in enumerate(several.items())]


def of_noise_levels(found):
    """Returns the chart of what `noise_levels.measure_all` found.

    Args:
      found: its dict, with `step`, `rows` and `levels`.
    """
    levels = sorted(found["levels"], key=lambda level: level["t"])
    splits = [name for name in levels[0] if name != "t"]
    lines = [
        Line(split, tuple((each["t"], each[split]["cross_entropy"]) for each in levels))
        for split in splits
    ]
    return Chart(
        "noise_levels",
        "Cross-entropy against diffusion time",
        "t, 1 is noise",
        "nats a token",
        tuple(lines),
        note=f"At step {found['step']}, on {found['rows']} rows of each split. A flat "
        "line: the noised program tells nothing that the request does not.",
    )


def facts(path):
    """Returns what a run came to, {name: text}; what is not known is left out.

    Args:
      path: of a `metrics.jsonl`.
    """
    rows = records.read_rows(path)
    stages = [row for row in rows if row.get("loss") is not None]
    scores = [row for row in rows if row["stage"] == _EVALUATION]
    found = {}
    if stages:
        found["steps"] = f"{max(row['step'] for row in stages):,}"
        found["last loss"] = f"{stages[-1]['loss']:.4g}"
        rates = [row[_SPEED] for row in stages if _has(row, _SPEED)]
        if rates:
            found["examples a second, median"] = f"{statistics.median(rates):.4g}"
    if seconds := max((row.get("train_seconds", 0.0) for row in rows), default=0.0):
        minutes = round(seconds / 60)
        found["training time"] = f"{minutes // 60} h {minutes % 60:02d} min"
    for name in _scores(scores)[:3]:
        best = max((row for row in scores if _has(row, name)), key=lambda r: r[name])
        label = f"best {_label(name)}"
        found[label] = f"{best[name]:.4g} at step {best['step']:,}"
    return found


def _chart(
    key, title, y_label, rows, names, *, x_label, borders=(), unit=None, may_log=False
):
    """Returns a chart of some values of rows, or None where there is no point.

    Args:
      key, title, y_label: as in `Chart`.
      rows: of `metrics.jsonl`, list of dict.
      names: of the values, a line each.
      x_label, borders: as in `Chart`.
      unit: seconds of the unit of time on the x axis; None for steps.
      may_log: whether values far apart have a logarithmic axis.
    """
    lines = []
    for name in names[: len(charts.COLOURS)]:
        points = _points(rows, name, unit)
        if points:
            lines.append(Line(_label(name), points))
    values = [y for line in lines for _, y in line.points if y is not None]
    if not values:
        return None
    is_log = may_log and min(values) > 0 and max(values) > _WIDE * min(values)
    return Chart(
        key, title, x_label, y_label, tuple(lines), is_log_y=is_log, borders=borders
    )


def _points(rows, name, unit):
    """Returns the points of a value, thinned, with a gap where another stage begins."""
    runs, stage = [], None
    for row in rows:
        if not _has(row, name) or (unit and not _has(row, "train_seconds")):
            continue
        if row["stage"] != stage:
            stage = row["stage"]
            runs.append([])
        x = row["train_seconds"] / unit if unit else row["step"]
        runs[-1].append((float(x), float(row[name])))
    joined = []
    for run in runs:
        if joined:
            joined.append((run[0][0], None))
        joined += charts.thinned(run)
    return tuple(joined)


def _borders(rows):
    """Returns (step, name) of each stage, where there are several."""
    firsts = {}
    for row in rows:
        firsts.setdefault(row["stage"], float(row["step"]))
    return tuple((x, name) for name, x in firsts.items()) if len(firsts) > 1 else ()


def _parts(rows):
    """Returns the names of the loss and its parts, the loss first."""
    names = dict.fromkeys(name for row in rows for name in row)
    return ["loss", *(name for name in names if name not in _BESIDE)] if rows else []


def _scores(rows):
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name.startswith(_PREFIX)]


def _has(row, name):
    return isinstance(row.get(name), int | float)


def _label(name):
    return name.removeprefix(_PREFIX).replace("_", " ")


def _scores_at(path):
    """Returns the scores in a file, None where it holds none of this format."""
    try:
        return score.read_scores(path)
    except ValueError:
        return None


def _settings(told):
    """Returns how what was scored was sampled, but for the number of steps, str."""
    sampler = dict(told["config"]["sampler"], num_steps=None)
    return json.dumps([sampler, told["config"]["inference"]], sort_keys=True)


def _quality(number, group, by_steps):
    """Returns the chart of one group of scores: its first metrics, top-1 and top-5."""
    dataset, scheme, split, checkpoint, sampler, seed, rows, _ = group
    names = list(next(iter(by_steps.values())))[: len(charts.COLOURS) // len(_TOPS)]
    lines = []
    for name in names:
        for top in _TOPS:
            found = [
                (float(steps), metrics[name][top])
                for steps, metrics in sorted(by_steps.items())
                if metrics.get(name, {}).get(top, {}).get("mean") is not None
            ]
            if found:
                lines.append(_intervals(f"{_label(name)}, {top}", found))
    return Chart(
        "quality" if number == 0 else f"quality_{number + 1}",
        f"Quality against steps: {dataset} {split}",
        "denoising steps",
        "score",
        tuple(lines),
        is_log_x=True,
        note=f"{scheme} split, {rows} rows, {sampler}, checkpoint {checkpoint}, seed "
        f"{seed}; bars are 95 % intervals.",
    )


def _intervals(name, found):
    points = tuple((steps, each["mean"]) for steps, each in found)
    return Line(name, points, tuple((each["low"], each["high"]) for _, each in found))
