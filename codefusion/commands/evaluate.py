"""`codefusion evaluate`: predictions of a split, then scores from the predictions."""

import hashlib
import pathlib
import subprocess

from absl import flags
from rich.console import Console
from rich.table import Table

from codefusion import assemble
from codefusion import config as configs
from codefusion.commands import train, trained
from codefusion.commands.waiting import Waiting
from codefusion.evaluation import predict, score
from codefusion.training.compile_cache import compile_cache


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
    flags.DEFINE_string(
        "split", None, "In place of evaluation.split.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "predictions",
        None,
        "Score this file, predict nothing.",
        flag_values=flag_values,
    )


def run(call):
    """Writes predictions and scores of a split, and prints the scores."""
    if call.flags.predictions:
        scores = rescore(call)
    else:
        model = trained.load(call, "evaluate", step=call.flags.checkpoint)
        config = evaluation_config(model.config, call.flags)
        with compile_cache(call.flags.workdir):
            path = write_predictions(model, config, call.flags.workdir)
        scores = write_scores(path, config)
    show(Console(soft_wrap=True, highlight=False), scores)


def evaluation_config(config, options):
    """Returns a config with the command's flags in the sections they stand for."""
    places = {
        "steps": ("sampler", "num_steps"),
        "max_rows": ("evaluation", "max_rows"),
        "seed": ("evaluation", "seed"),
        "split": ("evaluation", "split"),
    }
    config = configs.validate(config)
    for flag, (section, key) in places.items():
        if options[flag].value is not None:
            config[section][key] = options[flag].value
    return assemble.check(config)


def write_predictions(model, config, workdir):
    """Returns the path of the predictions it writes for the config's split.

    Args:
      model: the Generator.
      config: a checked config; its evaluation and sampler sections are used.
      workdir: folder that gets `predictions/`.
    """
    dataset = assemble.dataset(config)
    chosen = config.evaluation
    rows = predict.choose_rows(dataset.examples(chosen.split), chosen.max_rows)
    if not rows:
        raise ValueError(
            f"evaluation.split is {chosen.split!r}, which has no rows in "
            f"{dataset.name} ({dataset.scheme}); expected another split."
        )
    with Waiting("predicting", total=len(rows)) as waiting:

        def generate(utterances):
            answers = model.generate(
                utterances,
                steps=config.sampler.num_steps,
                seed=chosen.seed,
                truncate=True,
                progress=waiting.update,
            )
            return [tuple(zip(*answer, strict=True)) for answer in answers]

        predictions = predict.predict(rows, generate)
    name = run_name(dataset, config, model.step)
    path = pathlib.Path(workdir, "predictions", f"{name}.jsonl")
    long = sum(is_long(model, row.utterance) for row in rows)
    told = header(model, config, dataset) | {"truncated_utterances": long}
    predict.write_predictions(path, told, predictions)
    return path


def is_long(model, utterance):
    """Returns whether a model reads only the beginning of an utterance."""
    return len(model.tokenizer.encode(utterance)) >= model.config.data.source_length


def run_name(dataset, config, step):
    """Returns what tells one evaluation of a work directory from another, str.

    Args:
      dataset: the data set that is evaluated on.
      config: a checked config; all of its sampler and inference sections counts.
      step: of the checkpoint, int.
    """
    chosen, sampler = config.evaluation, config.sampler
    rows = f"-{chosen.max_rows}rows" if chosen.max_rows else ""
    steps = f"{sampler.name}{sampler.num_steps}"
    parts = (dataset.name, dataset.scheme, chosen.split, steps, f"seed{chosen.seed}")
    name = "-".join(dict.fromkeys(parts)) + rows  # generated is its own scheme
    settings = configs.to_json({"sampler": sampler, "inference": config.inference})
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    return f"{name}-step{int(step)}-{digest}"


def header(model, config, dataset):
    """Returns the provenance that heads a predictions file, a dict."""
    plain = train.portable(config).to_dict()
    return {
        "dataset": dataset.name,
        "split": config.evaluation.split,
        "scheme": dataset.scheme,
        "data_hash": dataset.content_hash,
        "tokenizer_hash": model.tokenizer.content_hash,
        "config": plain,
        "config_diff": configs.diff_text(configs.base(), plain),
        "seed": config.evaluation.seed,
        "sampler": config.sampler.name,
        "num_steps": config.sampler.num_steps,
        "checkpoint_step": int(model.step),
        "commit": commit(),
        "max_rows": config.evaluation.max_rows,
    }


def commit():
    """Returns the commit of the program, "+" where it is changed, or "unknown"."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+"]
    folder = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def write_scores(predictions, config):
    """Returns the scores of a predictions file, written to `scores/` beside it.

    Args:
      predictions: path of a file in `predictions/`.
      config: a checked config, for the data set and the metrics.
    """
    scores = score.score(
        predictions, assemble.dataset(config), config.evaluation.metrics
    )
    folder = pathlib.Path(predictions).parent.parent / "scores"
    path = folder / pathlib.Path(predictions).with_suffix(".json").name
    score.write_scores(path, scores)
    return scores


def rescore(call):
    """Returns the scores of the file that --predictions names, by its own config."""
    path = call.flags.predictions
    saved, _ = predict.read_predictions(path)
    config = call.config if call.config_file else saved["config"]
    return write_scores(path, assemble.check(config))


def show(console, scores):
    """Prints scores: a row per metric, top-k with intervals, in per cent."""
    head = scores["header"]
    table = Table(
        title=f"{head['dataset']} {head['split']} ({head['scheme']}), "
        f"{scores['rows']} rows, {head['sampler']} {head['num_steps']} steps"
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
    console.print(f"references seen in training: {interval(seen, scale=100)} %")
    for part, summary in diversity.items():
        console.print(f"{part}: {interval(summary, digits=2)}")


def interval(summary, *, scale=1.0, digits=1):
    """Returns "mean [low, high]" of a summary as text, "-" without rows."""
    if summary["mean"] is None:
        return "-"
    numbers = (scale * summary[key] for key in ("mean", "low", "high"))
    mean, low, high = (f"{number:.{digits}f}" for number in numbers)
    return f"{mean} [{low}, {high}]"
