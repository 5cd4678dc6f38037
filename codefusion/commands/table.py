"""`codefusion table`: trains and evaluates each row that lacks scores; renders them.

A table's config file holds `TABLE`, a name in `evaluation.tables.TABLES`, perhaps
`NOTES`, sentences to stand under it, and `sweep(add)`, which adds rows; see
`sweep.Sweep`:

    add("cf_rules", file="configs/cf_rules.py", title="codefusion", seeds=(0, 1, 2))
    add("few", of="cf_rules", title="5 steps", changes={"sampler.num_steps": 5})

Runs of one title share a line of the table: of each data set one, or one for each seed.
Runs of one name in one work directory are one run, whatever tables they are in.
"""

import copy
import difflib
import fnmatch
import functools
import json
import os
import pathlib
import sys

from absl import flags

from codefusion import assemble, checkpoints, inference, main, workdirs
from codefusion import config as configs
from codefusion.commands import evaluate, options, sweep, train
from codefusion.evaluation import rendering, score, seeds, tables
from codefusion.training.compile_cache import compile_cache


def define(flag_values):
    """Adds the command's flags."""
    flags.DEFINE_boolean(
        "train",
        True,
        "Train rows that lack it; without, rows without scores stay blank.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "rows",
        None,
        "Train these alone, a pattern of names such as 'cf_rules*'.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "stored",
        None,
        "Folder of kept runs, whose scores serve where the work directory has none.",
        flag_values=flag_values,
    )
    options.define_data_dir(flag_values)
    options.define_codebert(flag_values)


def run(call):
    """Writes JSON, Markdown and LaTeX of each table; prints the Markdown of one."""
    files = [*filter(None, [call.config_file]), *call.words]
    if not (files and call.flags.workdir):
        raise ValueError("table needs --config=configs/tables/FILE and --workdir=DIR.")
    embed = options.embedder(call.flags)
    sweeps = [sweep.read(file) for file in files]
    check(call.flags, [run for asked in sweeps for run in asked.runs])
    for name, runs, notes in sweeps:
        lines = entries(runs, call.flags, embed=embed)
        table = tables.build(name, lines, notes)
        written = tables.write_table(pathlib.Path(call.flags.workdir, "tables"), table)
        if len(sweeps) == 1:
            print(rendering.markdown(table))
        print("\n".join(written), flush=True)
        if not (call.flags.stored or any(line.scores for line in lines)):
            hint = "no row has scores; --stored=results/runs shows the kept ones"
            print(f"codefusion: {name}: {hint}.", file=sys.stderr)


def check(given, runs):
    """Raises ValueError for a fault of a flag or of any run, before one is trained.

    Args:
      given: the command's flags; --stored has to be a folder and --rows to match.
      runs: of all tables, list of `sweep.Run`; their configs have to check.
    """
    if given.stored is not None and not os.path.isdir(given.stored):
        raise ValueError(f"--stored is {given.stored!r}, which is not a folder.")
    rows, names = given.rows, [*dict.fromkeys(each.name for each in runs)]
    if rows is not None and not any(fnmatch.fnmatchcase(n, rows) for n in names):
        near = difflib.get_close_matches(rows, names, n=3, cutoff=0.0)
        raise ValueError(
            f"--rows is {rows!r}, which matches no row; expected a name, such as "
            f"{', '.join(near)}, or a pattern such as 'cf_rules*'."
        )
    for each in runs:
        if not each.scores:
            try:
                config_of(each, given)
            except (ValueError, OSError) as error:
                raise ValueError(f"{each.name}: {error}") from None


def entries(runs, given, *, embed=None):
    """Returns the lines of a table, list of `Entry`: runs put together by title.

    Args:
      runs: list of `sweep.Run`.
      given: the command's flags.
      embed: for `codebert_score`, str -> float[T, D]; None where there is no model.
    """
    lines = {}
    for each in runs:
        line = lines.setdefault((each.title, each.beside), ([], [], []))
        found, told, missing = line
        path = scores_of(each, given, embed=embed)
        if path:
            found.append(str(path))
            told.append((each.name, each.settings))
        else:
            config = config_of(each, given)
            dataset = config.evaluation.dataset or config.data.name
            missing.append((dataset, each.name))
    return [
        tables.Entry(title, tuple(found), beside, tuple(missing), tuple(told))
        for (title, beside), (found, told, missing) in lines.items()
    ]


def config_of(each, given):
    """Returns the checked config of a run: its file under its changes.

    Args:
      each: a `sweep.Run`.
      given: the command's flags.
    """
    modified = os.stat(each.file.partition(":")[0]).st_mtime_ns
    config = _checked(each.file, json.dumps(each.changes), modified)
    config = copy.deepcopy(config)
    options.set_data_dir(config, given)
    return train.pinned(config)


@functools.lru_cache(maxsize=4096)
def _checked(file, changes, modified):
    """Returns what `config_of` does, for the tables that share runs."""
    del modified  # so that a file that is written again is read again
    config = main.parse("table", [f"--config={file}"]).config
    for key, value in json.loads(changes).items():
        configs.put(config, key, value)
    return assemble.check(config)


def scores_of(each, given, *, embed=None):
    """Returns the path of a run's scores, made if need be; None where it may not be.

    Args:
      each: a `sweep.Run`.
      given: the command's flags.
      embed: for `codebert_score`, str -> float[T, D]; None where there is no model.
    """
    if each.scores:
        return each.scores if os.path.isfile(each.scores) else None
    config = config_of(each, given)
    for workdir in filter(None, (given.workdir, given.stored)):
        found = stored_scores(os.path.join(workdir, each.trained.name), config)
        if found:
            return with_codebert(found, config, embed) if embed else found
    if not may_run(each, given):
        return None
    folder = os.path.join(given.workdir, each.trained.name)
    model = trained_model(config_of(each.trained, given), folder)
    with compile_cache(folder):
        path = evaluate.write_predictions(model, config, folder)
    return evaluate.write_scores(path, config, embed=embed)


def may_run(each, given):
    """Returns whether a run that lacks scores is to be trained and evaluated, bool.

    Args:
      each: a `sweep.Run`.
      given: the command's flags.
    """
    if given.rows is None:
        return given.train and not each.on_request
    return given.train and fnmatch.fnmatchcase(each.name, given.rows)


def trained_model(config, folder):
    """Returns the Generator of a run, trained if it is not, or not to its end.

    Args:
      config: the run's checked config.
      folder: its work directory.
    """
    if workdirs.is_finished(folder, config):
        train.check_same_run(pathlib.Path(folder, "config.json"), config)
    else:
        train.train(config, folder)
    return inference.load(folder)


def with_codebert(scores, config, embed):
    """Returns the path of stored scores, made again where they lack codebert_score.

    Args:
      scores: path of a run's scores; its predictions lie in `predictions/` beside.
      config: the run's checked config.
      embed: token embeddings of a text, str -> float[T, D].
    """
    predictions = evaluate.predictions_path(scores)
    lacking = "codebert_score" in score.read_scores(scores)["unavailable"]
    if not (lacking and predictions.is_file()):
        return scores
    return evaluate.write_scores(predictions, config, embed=embed)


def stored_scores(folder, config):
    """Returns the path of a run's scores that are of its config and newest step.

    Args:
      folder: the run's work directory, or one that holds no more than its scores.
      config: a checked config.

    Returns:
      A path, or None where other scores, or none, are there.
    """
    files = sorted(pathlib.Path(folder, "scores").glob("*.json"))
    if not files:
        return None
    # Through JSON, as in the file: tuples become lists.
    wanted = json.loads(configs.to_json(train.portable(config)))
    steps = checkpoints.Checkpoints(folder).steps()
    found = []
    for path in files:
        header = _header(path, path.stat().st_mtime_ns)
        if not steps or header["checkpoint_step"] == steps[-1]:
            found.append((header["checkpoint_step"], path, header["config"]))
    found.sort(key=lambda each: -each[0])
    same = (path for _, path, config in found if config == wanted)
    alike = (path for _, path, config in found if not seeds.differences(config, wanted))
    return next(same, None) or next(alike, None)


@functools.lru_cache(maxsize=4096)
def _header(path, modified):
    """Returns the header of a file of scores, which many rows look at."""
    del modified  # so that a file that is written again is read again
    return score.read_scores(path)["header"]
