"""`codefusion table`: trains and evaluates each row that lacks scores; renders them.

A table's config file holds `TABLE`, a name in `evaluation.tables.TABLES`, and
`sweep(add)`, which calls `add` once for each run:

    add("cf_rules", file="configs/cf_rules.py", title="codefusion")

Runs of one title share a line of the table, one data set each.
"""

import json
import os
import pathlib
import runpy
from typing import NamedTuple

from absl import flags

from codefusion import assemble, checkpoints, inference, main
from codefusion import config as configs
from codefusion.commands import evaluate, options, train
from codefusion.evaluation import score, tables


class Run(NamedTuple):
    """One training run of a table.

    Attributes:
      name: of its folder in the table's work directory.
      file: its config file, FILE[:arg].
      title: of its line in the table.
      beside: the paper's system under which the line stands, "" for the end.
      changes: dotted key -> value, what differs from the file.
      scores: a stored scores file to use in place of a run, or "".
    """

    name: str
    file: str
    title: str = "codefusion (ours)"
    beside: str = "CodeFusion 75M"
    changes: dict | None = None
    scores: str = ""


def define(flag_values):
    """Adds the command's flags."""
    flags.DEFINE_boolean(
        "train",
        True,
        "Train rows that lack it; without, rows without scores stay blank.",
        flag_values=flag_values,
    )
    options.define_data_dir(flag_values)
    options.define_codebert(flag_values)


def run(call):
    """Writes table.json, table.md and table.tex, and prints the Markdown."""
    if not (call.config_file and call.flags.workdir):
        raise ValueError("table needs --config=configs/tables/FILE and --workdir=DIR.")
    name, runs = read_sweep(call.config_file)
    embed = options.embedder(call.flags)
    found = [
        (each, path)
        for each in runs
        if (path := scores_of(each, call.flags, embed=embed))
    ]
    table = tables.build(name, entries(found))
    written = tables.write_table(pathlib.Path(call.flags.workdir, "tables"), table)
    print(tables.markdown(table))
    print("\n".join(written))


def read_sweep(config_file):
    """Returns a table file's table name and its list of `Run`s."""
    module = runpy.run_path(config_file.partition(":")[0])
    missing = {"TABLE", "sweep"} - set(module)
    if missing:
        raise ValueError(
            f"{config_file} lacks {', '.join(sorted(missing))}; expected TABLE, one of "
            f"{', '.join(sorted(tables.TABLES))}, and sweep(add)."
        )
    runs = []
    module["sweep"](lambda *args, **kwargs: runs.append(Run(*args, **kwargs)))
    return module["TABLE"], runs


def entries(found):
    """Returns the lines of a table: (run, scores path) pairs put together by title."""
    lines = {}
    for each, path in found:
        lines.setdefault((each.title, each.beside), []).append(str(path))
    return [
        tables.Entry(title, tuple(paths), beside)
        for (title, beside), paths in lines.items()
    ]


def config_of(each, given):
    """Returns the checked config of a run: its file under its changes.

    Args:
      each: a `Run`.
      given: the command's flags.
    """
    config = main.parse("table", [f"--config={each.file}"]).config
    for key, value in (each.changes or {}).items():
        config.update_from_flattened_dict({key: value})
    options.set_data_dir(config, given)
    return assemble.check(config)


def scores_of(each, given, *, embed=None):
    """Returns the path of a run's scores, made if need be; None where it may not be.

    Args:
      each: a `Run`.
      given: the command's flags.
      embed: for `codebert_score`, str -> float[T, D]; None where there is no model.
    """
    if each.scores:
        return each.scores
    config = config_of(each, given)
    folder = os.path.join(given.workdir, each.name)
    found = stored_scores(folder, config)
    if found:
        return with_codebert(found, config, embed) if embed else found
    if not given.train:
        return None
    train.train(config, folder)
    model = inference.load(folder)
    path = evaluate.write_predictions(model, config, folder)
    return evaluate.write_scores(path, config, embed=embed)


def with_codebert(scores, config, embed):
    """Returns the path of stored scores, made again where they lack codebert_score.

    Args:
      scores: path of a run's scores; its predictions lie in `predictions/` beside.
      config: the run's checked config.
      embed: token embeddings of a text, str -> float[T, D].
    """
    predictions = scores.parent.parent / "predictions" / f"{scores.stem}.jsonl"
    lacking = "codebert_score" in score.read_scores(scores)["unavailable"]
    if not (lacking and predictions.is_file()):
        return scores
    return evaluate.write_scores(predictions, config, embed=embed)


def stored_scores(folder, config):
    """Returns the path of a run's scores that are of its config and newest step.

    Args:
      folder: the run's work directory.
      config: a checked config.

    Returns:
      A path, or None where other scores, or none, are there.
    """
    # Through JSON, as in the file: tuples become lists.
    wanted = json.loads(configs.to_json(train.portable(config)))
    steps = checkpoints.Checkpoints(folder).steps()
    for path in sorted(pathlib.Path(folder, "scores").glob("*.json")):
        header = score.read_scores(path)["header"]
        newest = steps[-1] if steps else header["checkpoint_step"]
        if header["config"] == wanted and header["checkpoint_step"] == newest:
            return path
    return None
