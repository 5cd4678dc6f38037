"""Reads a trained work directory, or an export of one: config, tokenizer, weights."""

import copy
import json
import os
import pathlib

import jax

from codefusion import assemble, checkpoints
from codefusion import config as configs
from codefusion.data import neighbors
from codefusion.data.tokenizer import Tokenizer
from codefusion.models import exported

NEIGHBORS = "neighbors.json"
# Of training: a config.json may lack these; it was trained as by their defaults.
_LATER_TRAINING = (
    "microbatches",
    "on_non_finite",
    "watchdog_minutes",
    "compile_budget",
    "estimate_noise",
)


def read(workdir, step=None):
    """Returns what a checkpoint of a work directory was trained to.

    Args:
      workdir: a folder that training wrote, or one that `codefusion export` wrote.
      step: of the checkpoint, int; None takes the newest that is intact.

    Returns:
      (config, tokenizer, params, step): the checked config, the `Tokenizer`, the
      moving average of the parameters, and the training step it is of.

    Raises:
      ValueError: a file is missing, damaged, or of another run.
    """
    folder = pathlib.Path(workdir)
    config = _checked(folder / "config.json")
    tokenizer = Tokenizer.load(folder / "tokenizer.model")
    model = assemble.parts(config, tokenizer.vocab_size).model
    like = jax.eval_shape(lambda: assemble.init_params(config, model))
    saved = checkpoints.Checkpoints(folder)
    if not saved.steps() and (folder / exported.FILE).is_file():
        return config, tokenizer, *_exported(folder, like, tokenizer, step)
    step = _choose_step(saved, step, folder)
    _check_tokenizer(saved.extra(step), tokenizer, folder)
    params = saved.restore(step, {"ema_params": like})["ema_params"]
    return config, tokenizer, params, step


def read_retrieval(workdir, config):
    """Returns the `neighbors.Retrieval` of a work directory or export, or None.

    Args:
      workdir: a folder that training or `codefusion export` wrote.
      config: its checked config.

    Raises:
      ValueError: its neighbours are missing or damaged.
    """
    if not config.source.num_neighbors:
        return None
    path = pathlib.Path(workdir, NEIGHBORS)
    try:
        index = neighbors.Neighbors.from_bytes(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); expected the requests and programs that "
            "codefusion train writes where source.num_neighbors is above 0."
        ) from error
    return assemble.retrieval(config, index)


def read_config(path):
    """Returns the unchecked ConfigDict in the config.json of a work directory.

    Settings that came after it have their defaults, see `completed`.

    Args:
      path: of the file, a pathlib.Path.

    Raises:
      ValueError: it is missing, or holds no config.
    """
    if not path.is_file():
        raise ValueError(
            f"{path} is missing; expected the config that codefusion train writes."
        )
    try:
        read = configs.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is no config in JSON: {error}. Put the file back that codefusion "
            "train wrote, or set another --workdir."
        ) from error
    return configs.from_json(json.dumps(completed(read.to_dict())))


def completed(config):
    """Returns a config in which settings that came after it have their defaults.

    They are of sampling and evaluation, or their default is what was done before them:
    no default here changes what the weights are.

    Args:
      config: nested dicts, unchecked; they stay as they are.
    """
    config, base = copy.deepcopy(config), configs.base().to_dict()
    for name in ("inference", "evaluation"):
        _complete(config, base, name, base[name])
    _complete(config, base, "model", ("attention", "remat_policy"))
    if config.get("model", {}).get("name") == base["model"]["name"]:
        _complete(config, base, "model", ("causal_decoder",))
    _complete(config, base, "pretraining", ("microbatches",))
    _complete(config, base, "training", _LATER_TRAINING)
    return {"sharding": base["sharding"], "source": base["source"]} | config


def _checked(path):
    """Returns the checked config of a work directory."""
    config = read_config(path)
    try:
        return assemble.check(config)
    except ValueError as error:
        raise ValueError(
            f"{path} is no config of this version: {error} Use the version that "
            "trained it, or set another --workdir."
        ) from error


def _complete(config, base, name, keys):
    for key in keys:
        if name in config and key not in config[name]:
            config[name][key] = base[name][key]


def _exported(folder, like, tokenizer, step):
    """Returns (parameters, step) of an export, which is of one step alone."""
    hash_ = tokenizer.content_hash
    params, found = exported.read(folder, like, tokenizer_hash=hash_)
    if step not in (None, found):
        raise ValueError(f"{folder} is an export of step {found}, not of step {step}.")
    return params, found


def _choose_step(saved, step, folder):
    """Returns the step to read: the one asked for, else the newest intact one."""
    kept = saved.steps()
    if step is not None and kept and step not in kept:
        raise ValueError(
            f"{os.fspath(folder)} holds no checkpoint of step {step}; expected one of "
            f"{', '.join(map(str, kept))}."
        )
    chosen = saved.latest() if step is None or not kept else step
    if chosen is None:
        raise ValueError(
            f"{os.fspath(folder)} holds no checkpoint and no {exported.FILE}; expected "
            "one of codefusion train, or the other of codefusion export."
        )
    return chosen


def _check_tokenizer(extra, tokenizer, folder):
    """Raises ValueError where the checkpoint was trained with another tokenizer."""
    wanted = json.loads(extra["identity"]["tokenizer hash"])
    if wanted is not None and wanted != tokenizer.content_hash:
        raise ValueError(
            f"{folder / 'tokenizer.model'} has hash {tokenizer.content_hash[:12]}, but "
            f"the checkpoint was trained with {wanted[:12]}; put the right file back."
        )


def last_step(config):
    """Returns the step with which a run ends, its stages together, int."""
    return config.pretraining.num_steps + config.training.num_steps


def is_finished(folder, config):
    """Returns whether the newest checkpoint of a run is of its last step, bool.

    Args:
      folder: its work directory.
      config: its config.
    """
    return checkpoints.Checkpoints(folder).steps()[-1:] == [last_step(config)]
