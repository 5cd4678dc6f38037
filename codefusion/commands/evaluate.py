"""`codefusion evaluate`: predictions of a split, then scores from the predictions."""

import hashlib
import os
import pathlib
import subprocess
import sys

from absl import flags
from rich.console import Console
from rich.table import Table

from codefusion import assemble
from codefusion import config as configs
from codefusion.commands import options, provenance, train, trained
from codefusion.commands.waiting import Waiting
from codefusion.evaluation import predict, score
from codefusion.training.compile_cache import compile_cache

# Flag -> the setting it stands for.
_PLACES = {
    "steps": ("sampler", "num_steps"),
    "max_rows": ("evaluation", "max_rows"),
    "seed": ("evaluation", "seed"),
    "split": ("evaluation", "split"),
    "dataset": ("evaluation", "dataset"),
}


def define(flag_values):
    """Adds the command's flags."""
    settings = {
        "steps": "Denoising steps, in place of sampler.num_steps.",
        "max_rows": "Rows to evaluate, in place of evaluation.max_rows; 0 is all.",
        "seed": "Seed of the draws, in place of evaluation.seed.",
        "checkpoint": "Step of the checkpoint to evaluate; without it the newest.",
    }
    for name, text in settings.items():
        flags.DEFINE_integer(name, None, text, lower_bound=0, flag_values=flag_values)
    for name in ("split", "dataset"):
        flags.DEFINE_string(
            name, None, f"In place of evaluation.{name}.", flag_values=flag_values
        )
    flags.DEFINE_string(
        "predictions",
        None,
        "Score this file, predict nothing.",
        flag_values=flag_values,
    )
    options.define_data_dir(flag_values)
    options.define_codebert(flag_values)


def run(call):
    """Writes predictions and scores of a split; prints the scores and both paths."""
    embed = options.embedder(call.flags)
    if call.flags.predictions:
        predictions, config = call.flags.predictions, scoring_config(call)
    else:
        model = trained.load(call, "evaluate", step=call.flags.checkpoint)
        config = evaluation_config(model.config, call.flags)
        with compile_cache(call.flags.workdir):
            predictions = write_predictions(model, config, call.flags.workdir)
    path = write_scores(predictions, config, embed=embed)
    console = Console(soft_wrap=True, highlight=False)
    show(console, score.read_scores(path))
    if not os.path.isabs(predictions):  # both as the command was given
        path = os.path.relpath(path)
    for name, written in (("predictions", predictions), ("scores", path)):
        console.print(f"{name}: {written}", markup=False)


def evaluation_config(config, given):
    """Returns a config with the command's flags in the sections they stand for.

    Args:
      config: a ConfigDict or dict.
      given: the command's flags.
    """
    config = configs.validate(config)
    for flag, (section, key) in _PLACES.items():
        if given[flag].value is not None:
            config[section][key] = given[flag].value
    options.set_data_dir(config, given)
    return assemble.check(config)


def write_predictions(model, config, workdir):
    """Returns the path of the predictions it writes for the config's split.

    Each batch is on disk when it is predicted; after a cut the same call goes on,
    with the same code, weights and hardware.

    Args:
      model: the Generator.
      config: a checked config that differs from the model's in no setting of training.
      workdir: folder of the model; it gets `predictions/`.

    Returns:
      A path; its header counts the utterances of which only the beginning was read.
    """
    model, dataset = model.reconfigured(config), assemble.evaluated(config)
    chosen = config.evaluation
    rows = predict.choose_rows(dataset.examples(chosen.split), chosen.max_rows)
    if not rows:
        raise ValueError(
            f"evaluation.split is {chosen.split!r}, which has no rows in "
            f"{dataset.name} ({dataset.scheme}); expected another split."
        )
    name = run_name(dataset, config, model.step)
    path = pathlib.Path(workdir, "predictions", f"{name}.jsonl")
    hash_, step = model.tokenizer.content_hash, int(model.step)
    told = header(config, dataset, tokenizer_hash=hash_, step=step)
    told |= provenance.facts(model, workdir)
    told["truncated_utterances"] = sum(
        is_long(model, row.utterance, dataset.language) for row in rows
    )
    unfinished = predict.Unfinished(
        path,
        told,
        [row.id for row in rows],
        batch_size=model.config.inference.batch_size,
        program=provenance.program(model),
    )
    _predict(model, config, dataset.language, rows, unfinished)
    unfinished.finish()
    return path


def _predict(model, config, language, rows, unfinished):
    """Adds the predictions of the rows that lack them."""
    begun = len(unfinished.rows)
    if unfinished.differs:
        _say(
            f"{unfinished.path} is of another {', '.join(unfinished.differs)} and is "
            f"replaced from row {begun + 1} on by the next batch; move it away to keep "
            "it."
        )
    if begun:
        _say(f"{begun} of {len(rows)} rows were predicted before; it goes on there.")
    answers = model.stream(
        [row.utterance for row in rows],
        start=begun,
        seed=config.evaluation.seed,
        truncate=True,
        language=language,
    )
    with Waiting("predicting", total=len(rows), begun=begun) as waiting:
        for batch in answers:
            asked = rows[len(unfinished.rows) :][: len(batch)]
            pairs = [tuple(zip(*answer, strict=True)) for answer in batch]
            unfinished.add(predict.rows_of(asked, pairs))
            waiting.update(len(unfinished.rows))


def _say(text):
    print(f"evaluate: {text}", file=sys.stderr)


def is_long(model, utterance, language):
    """Returns whether a model reads only the beginning of an utterance, bool.

    Args:
      model: a Generator.
      utterance: str.
      language: of the program that is wanted.
    """
    request = assemble.request(model.config, utterance, language)
    return len(model.tokenizer.encode(request)) >= model.config.data.source_length


def run_name(dataset, config, step):
    """Returns what tells one evaluation of a work directory from another, str.

    Args:
      dataset: the data set that is evaluated on.
      config: a checked config; all of its sampler and inference sections counts.
      step: of the checkpoint, int.
    """
    chosen, sampler = config.evaluation, config.sampler
    rows = f"-{chosen.max_rows}rows" if chosen.max_rows else ""
    steps = f"{sampler.name}{sampler.get('num_steps', '')}"
    parts = (dataset.name, dataset.scheme, chosen.split, steps, f"seed{chosen.seed}")
    name = "-".join(dict.fromkeys(parts)) + rows  # generated is its own scheme
    settings = configs.to_json({"sampler": sampler, "inference": config.inference})
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    return f"{name}-step{int(step)}-{digest}"


def header(config, dataset, *, tokenizer_hash, step):
    """Returns the provenance that heads a predictions file, a dict.

    Args:
      config: a checked config.
      dataset: the data set that is evaluated on.
      tokenizer_hash: content hash of the tokenizer, "" where nothing is tokenised.
      step: of the checkpoint, int; 0 where nothing is trained.
    """
    plain = train.portable(config).to_dict()
    return {
        "dataset": dataset.name,
        "split": config.evaluation.split,
        "scheme": dataset.scheme,
        "data_hash": dataset.content_hash,
        "tokenizer_hash": tokenizer_hash,
        "config": plain,
        "config_diff": configs.diff_text(configs.base(), plain),
        "seed": config.evaluation.seed,
        "sampler": config.sampler.name,
        "num_steps": config.sampler.get("num_steps", 0),
        "checkpoint_step": step,
        "commit": commit(),
        "max_rows": config.evaluation.max_rows,
    }


def commit():
    """Returns the commit of the program, "+" where it is changed, or "unknown"."""
    # An installed copy may lie in another project's repository, which says nothing.
    if not _git("ls-files", "--error-unmatch", pathlib.Path(__file__).name):
        return "unknown"
    return _git("describe", "--always", "--abbrev=40", "--dirty=+") or "unknown"


def _git(*words):
    """Returns what git prints in this file's folder, "" where it fails."""
    folder = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True
        )
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def write_scores(predictions, config, *, embed=None):
    """Returns the path of the scores that it writes for a predictions file.

    Args:
      predictions: path of the file, str or path.
      config: a checked config, for the data set and the metrics.
      embed: for `codebert_score`, str -> float[T, D]; None where there is no model.

    Returns:
      A path in `scores/` for a file in `predictions/`, else beside the file.
    """
    dataset = assemble.evaluated(config)
    head, _ = predict.read_predictions(predictions)
    scores = score.score(
        predictions,
        dataset,
        config.evaluation.metrics,
        others=trained_beside(head, dataset),
        embed=embed,
    )
    path = scores_path(predictions)
    score.write_scores(path, scores)
    return path


def trained_beside(head, dataset):
    """Returns what the run behind predictions was trained on beside its data set.

    What a pretrained encoder had read before is not known, and not among it.

    Args:
      head: header of the predictions file; only what its config says of the stages is
        read, and what it lacks is as in the base.
      dataset: the data set of the run, built.

    Returns:
      Data sets and corpora, list.
    """
    config = configs.base()
    for stage in ("pretraining", "training"):
        config[stage].update(head["config"].get(stage, {}))
    return assemble.beside(config, dataset)


def scores_path(predictions):
    """Returns where the scores of a predictions file belong, a path."""
    file = pathlib.Path(predictions)
    if file.suffix == ".json":
        raise ValueError(
            f"--predictions is {str(file)!r}, where its scores would go; expected a "
            "file with another ending, such as .jsonl."
        )
    inside = file.absolute().parent.name == "predictions"
    folder = file.absolute().parent.parent / "scores" if inside else file.parent
    return folder / file.with_suffix(".json").name


def predictions_path(scores):
    """Returns where the predictions behind a file in `scores/` are, a path.

    Args:
      scores: a pathlib.Path.
    """
    return scores.parent.parent / "predictions" / f"{scores.stem}.jsonl"


def scoring_config(call):
    """Returns the checked config by which --predictions is scored.

    Only its data and evaluation sections matter. They are the call's, or else the
    file's own, laid over the base: so a file is scored whatever sections of its config
    have changed since.
    """
    file = call.flags.predictions
    if not os.path.isfile(file):
        raise ValueError(f"--predictions is {file!r}, which is not a file.")
    for flag in (*_PLACES, "checkpoint"):
        if call.flags[flag].value is not None:
            raise ValueError(
                f"--{flag} says what to predict, but --predictions names a file that "
                "is only scored; expected one of the two."
            )
    if call.config_file or call.overrides:
        config = configs.validate(call.config)
    else:
        config = config_of(predict.read_predictions(file)[0])
    options.set_data_dir(config, call.flags)
    return assemble.check(config)


def config_of(head):
    """Returns the config, not checked yet, by which predictions are scored.

    Args:
      head: header of the predictions, dict.
    """
    config = configs.base()
    config.data = head["config"]["data"]
    config.evaluation.update(head["config"]["evaluation"])
    if config.evaluation.dataset:  # what it may be is in these
        config.source = head["config"]["source"]
        config.training.mixture = head["config"]["training"]["mixture"]
    return config


def show(console, scores):
    """Prints scores: a row per metric, top-k with intervals, in per cent.

    Args:
      console: a rich Console.
      scores: what `score.score` returned, dict.
    """
    head = scores["header"]
    table = Table(
        title=f"{head['dataset']} {head['split']} ({head['scheme']}), "
        f"{scores['rows']} rows, {head['sampler']} {head['num_steps']} steps",
        # Three intervals and a name fit in the 80 columns of a file or a pipe.
        **dict(show_edge=False, pad_edge=False, collapse_padding=True),
    )
    columns = list(next(iter(scores["metrics"].values()), {}))
    for name in ("metric", *columns):
        table.add_column(name if name == "metric" else f"{name}, %")
    for name, tops in scores["metrics"].items():
        table.add_row(name, *(interval(tops[column], scale=100) for column in columns))
    console.print(table)
    for name, reason in scores["unavailable"].items():
        console.print(f"{name}: {reason}")
    seen, diversity = scores["seen_in_training"], scores["diversity"]
    own = interval(scores["seen_in_train_split"], scale=100)
    console.print(
        f"references seen in training: {interval(seen, scale=100)} %, in the train "
        f"split alone: {own} %"
    )
    for part, summary in diversity.items():
        console.print(f"{part}: {interval(summary, digits=2)}")
    if cut := head["truncated_utterances"]:
        console.print(
            f"utterances longer than the model reads: {cut}, only their beginning was "
            "read"
        )


def interval(summary, *, scale=1.0, digits=1):
    """Returns "mean [low, high]" of a summary as text, "-" without rows.

    Args:
      summary: dict with `mean`, `low` and `high`.
      scale: what to multiply by.
      digits: how many to print after the point.
    """
    if summary["mean"] is None:
        return "-"
    numbers = (scale * summary[key] for key in ("mean", "low", "high"))
    mean, low, high = (f"{number:.{digits}f}" for number in numbers)
    return f"{mean} [{low}, {high}]"
