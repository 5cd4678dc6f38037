"""`codefusion train`: tokenizer, pre-training, fine-tuning; run again, it resumes."""

import functools
import hashlib
import os
import pathlib
import sys

import jax

from codefusion import (
    assemble,
    checkpoints,
    files,
    hosts,
    inference,
    models,
    sharding,
    workdirs,
)
from codefusion import config as configs
from codefusion.commands import options
from codefusion.data.custom import Custom
from codefusion.data.tokenizer import Tokenizer
from codefusion.evaluation import metrics, predict
from codefusion.training import loop, resuming

# Keys of the data section that say where this machine keeps its data files.
PLACES = ("data_dir", "train")
_VALIDATION_ROWS = 100  # enough to see a trend; scores come from `evaluate`


def define(flag_values):
    """Adds the command's flags."""
    options.define_data_dir(flag_values)
    options.define_hosts(flag_values)


def run(call):
    """Trains the call's config in its work directory."""
    if not call.flags.workdir:
        raise ValueError("train needs --workdir=DIR, the folder to write to.")
    if not files.is_local(call.flags.workdir):
        raise ValueError(
            f"--workdir is {call.flags.workdir!r}; expected a folder. Mount a bucket "
            "(Cloud Storage FUSE) to train in it."
        )
    if pathlib.Path(call.flags.workdir, "model.safetensors").exists():
        raise ValueError(
            f"{call.flags.workdir} holds an export (model.safetensors), not a run; "
            "expected another --workdir."
        )
    if call.config is None:
        raise ValueError("train needs --config=FILE, such as configs/quickstart.py.")
    chosen = configs.validate(call.config)
    options.set_data_dir(chosen, call.flags)
    workdir = call.flags.workdir
    config = pinned(assemble.check(chosen))
    with joined_hosts(call.flags, config) as roster:
        state = train(config, workdir, roster)
        step = int(state.step)
    print(f"Trained {step} steps in {workdir}.", file=sys.stderr)


def joined_hosts(flags, config):
    """Returns the context in which this process is one of the hosts of the run."""
    settings = configs.to_json(portable(config))
    return hosts.join(
        options.cluster(flags),
        facts={"config": hashlib.sha256(settings.encode()).hexdigest()[:12]},
        timeout=flags.host_timeout,
    )


def train(config, workdir, roster=None):
    """Returns the last TrainState of a config, trained or resumed in a folder.

    Args:
      config: a checked config.
      workdir: gets config.json, config_diff.txt, tokenizer.model, metrics and
        checkpoints.
      roster: the `hosts.Roster` of several processes, which share the folder.
    """
    section = config.training
    saver = _saver(workdir, section)
    mesh = assemble.mesh(config)
    check_steps(config, mesh)
    check_evaluation(config)
    is_new = not saver.steps()
    tokenizer = choose_tokenizer(config, workdir, is_new=is_new)
    parts = assemble.parts(config, tokenizer.vocab_size)
    init_params = functools.partial(assemble.init_params, config, parts.model)
    if config.pretraining.encoder and is_new:
        check_encoder(config.pretraining.encoder, init_params)
    retrieval = assemble.retrieval(config)
    evaluators = []
    if section.eval_every:
        evaluators.append(evaluator(config, tokenizer, parts, retrieval))
    stages = assemble.stages(config, tokenizer, parts, mesh, retrieval)
    saver.prepare()  # the first to be written, as the config is known to be right
    write_settings(config, workdir, tokenizer, retrieval, is_new=is_new)
    return loop.train(
        stages,
        init_params,
        workdir=workdir,
        seed=config.seed,
        checkpoints=saver,
        config=portable(config).to_dict(),
        tokenizer_hash=tokenizer.content_hash,
        files={
            "config.json": configs.to_json(portable(config)).encode(),
            "tokenizer.model": tokenizer.model,
        },
        evaluators=evaluators,
        eval_every=section.eval_every,
        log_every=section.log_every,
        on_non_finite=section.on_non_finite,
        watchdog_minutes=section.watchdog_minutes,
        compile_budget=section.compile_budget,
        mesh=mesh,
        roster=roster,
        load=encoder_loader(config.pretraining.encoder),
    )


def _saver(workdir, section):
    """Returns the `Checkpoints` of a work directory, of which it writes nothing yet."""
    return checkpoints.Checkpoints(
        workdir,
        max_to_keep=section.max_to_keep,
        every_steps=section.checkpoint_every,
        every_minutes=section.checkpoint_minutes,
    )


def encoder_loader(path):
    """Returns `params -> params` with the encoder of a T5 checkpoint; None for ""."""
    # Not its embedding, whose rows are of other pieces than our tokenizer's.
    load = functools.partial(models.load_encoder, embedding=False)
    return functools.partial(load, path) if path else None


def check_encoder(path, init_params):
    """Raises ValueError where a T5 checkpoint does not fit the parameters."""
    encoder_loader(path)(jax.eval_shape(init_params))


def check_steps(config, mesh):
    """Raises ValueError where there is no step, or devices cannot share its batch."""
    if not workdirs.last_step(config):
        raise ValueError("training.num_steps is 0; expected at least 1.")
    data, fsdp = mesh.shape["data"], mesh.shape["fsdp"]
    for name in ("pretraining", "training"):
        rows, parts = config[name].batch_size, config[name].microbatches
        unit = data * fsdp * parts
        if rows % unit and (name == "training" or config[name].num_steps):
            near = [n for n in (rows - rows % unit, rows - rows % unit + unit) if n]
            raise ValueError(
                f"{name}.batch_size is {rows}; expected a multiple of {unit} "
                f"(sharding.data {data} x sharding.fsdp {fsdp} x {name}.microbatches "
                f"{parts}), such as {' or '.join(map(str, near))}."
            )


def check_evaluation(config):
    """Raises ValueError where what is evaluated later is no metric or has no rows."""
    dataset = assemble.dataset(config)
    metrics.choose(dataset.language, config.evaluation.metrics)
    every = config.training.eval_every
    if every and not dataset.examples("validation"):
        raise ValueError(
            f"training.eval_every is {every}, but {dataset.name} has no validation "
            f"rows in the {dataset.scheme} scheme; expected 0."
        )


def choose_tokenizer(config, workdir, *, is_new):
    """Returns the run's tokenizer, trained or that of the work directory.

    Args:
      config: a checked config.
      workdir: the work directory.
      is_new: whether it holds no checkpoints; those it holds must be of this config.
    """
    if is_new:
        return assemble.train_tokenizer(config)
    folder = pathlib.Path(workdir)
    check_same_run(folder / "config.json", config)
    return Tokenizer.load(folder / "tokenizer.model")


def write_settings(config, workdir, tokenizer, retrieval=None, *, is_new):
    """Writes what a work directory holds beside checkpoints, by host 0.

    Args:
      config: a checked config.
      workdir: the work directory.
      tokenizer: the tokenizer of the run.
      retrieval: its `neighbors.Retrieval`; None where it has none.
      is_new: whether it holds no checkpoints, so that all is written and not the
        config alone.
    """
    if jax.process_index() > 0:
        return
    folder = pathlib.Path(workdir)
    if is_new:
        tokenizer.save(folder / "tokenizer.model")
        if retrieval:
            data = retrieval.neighbors.to_bytes()
            files.write_whole(folder / workdirs.NEIGHBORS, data)
    changes = configs.diff_text(configs.base(), config)
    files.write_whole(folder / "config.json", configs.to_json(config))
    files.write_whole(folder / "config_diff.txt", changes)


def check_same_run(path, config):
    """Raises ValueError, with the difference, where saved config and config differ."""
    if not path.is_file():
        raise ValueError(
            f"{path} is missing beside checkpoints; expected the config they are of. "
            "Set another --workdir."
        )
    saved = workdirs.read_config(path)
    resuming.check_same_run(
        resuming.identify((), seed=saved.seed, config=portable(saved).to_dict()),
        resuming.identify((), seed=config.seed, config=portable(config).to_dict()),
        workdir=os.fspath(path.parent),
    )


def portable(config):
    """Returns a config without where this machine keeps its data files."""
    copied = configs.validate(config)
    for key in PLACES:
        if key in copied.data:
            del copied.data[key]
    return copied


def pinned(config):
    """Returns a config that names a file of one's own by whole path and SHA-256."""
    if config.data.name != Custom.name:
        return config
    copied, dataset = configs.validate(config), assemble.dataset(config)
    copied.data.sha256 = dataset.file_hash
    copied.data.train = os.path.abspath(os.path.expanduser(config.data.train))
    return copied


def evaluator(config, tokenizer, parts, retrieval=None):
    """Returns `(step, state) -> {name: mean}` over validation rows, first candidates.

    Args:
      config: a checked config.
      tokenizer: the run's tokenizer.
      parts: its assembled parts.
      retrieval: its `neighbors.Retrieval`; None where it has none.
    """
    dataset = assemble.dataset(config)
    rows = predict.choose_rows(dataset.examples("validation"), _VALIDATION_ROWS)
    chosen = metrics.choose(dataset.language, config.evaluation.metrics)
    ready = [each for each in chosen if not getattr(each, "unavailable", "")]

    def evaluate(step, state):
        params = sharding.to_sample(state.ema_params, state)
        model = inference.Generator(config, tokenizer, parts, params, step, retrieval)
        answers = model.generate(
            [row.utterance for row in rows],
            num_candidates=1,
            seed=config.evaluation.seed,
            truncate=True,
        )
        return {
            f"validation_{metric.name}": sum(
                metric.score(answer[0].text, row)
                for answer, row in zip(answers, rows, strict=True)
            )
            / len(rows)
            for metric in ready
        }

    return evaluate
