"""A trained work directory as a generator, under the command line's changes."""

import os

from codefusion import assemble, inference
from codefusion import config as configs
from codefusion.commands import train

# Sections that say how to sample and score; the rest is fixed by training.
FREE = ("sampler", "inference", "evaluation")
# Sections in which a config file may not differ from what was trained. In the others,
# which no longer act, only a change on the command line is an error.
FIXED = ("data", "tokenizer", "model", "diffusion")


def load(call, command, *, step=None):
    """Returns the Generator of a call's work directory.

    Settings of `FREE` sections come from the call's config, and so does the folder of
    the data files; a change to what was trained is an error.

    Args:
      call: a `main.Call`.
      command: its name, for the error.
      step: of the checkpoint, int; None takes the newest that is intact.
    """
    check_workdir(call, command)
    model = inference.load(call.flags.workdir, step)
    if not (call.overrides or call.config_file):
        return model
    wanted = configs.validate(call.config)
    if "sha256" in model.config.data and "sha256" not in wanted.data:
        wanted.data.sha256 = model.config.data.sha256
    check_unchanged(model.config, wanted, call.overrides)
    merged = configs.validate(model.config)
    for section in FREE:
        merged[section] = wanted[section]
    for key in train.PLACES:
        if wanted.data.get(key):
            merged.data[key] = wanted.data[key]
    return model.reconfigured(assemble.check(merged))


def check_workdir(call, command):
    """Raises ValueError where --workdir is no folder that training wrote.

    Args:
      call: a `main.Call`.
      command: its name, for the error.
    """
    if not call.flags.workdir:
        raise ValueError(f"{command} needs --workdir=DIR, the folder train wrote.")
    if not os.path.isfile(os.path.join(call.flags.workdir, "config.json")):
        raise ValueError(
            f"--workdir is {call.flags.workdir!r}, which holds no config.json; "
            "expected a folder that codefusion train wrote."
        )


def check_unchanged(saved, wanted, overrides=()):
    """Raises ValueError where a config differs in what the training fixed.

    Args:
      saved: the config of the work directory.
      wanted: the config of the call.
      overrides: dotted keys that the command line sets; each may only repeat what was
        saved, unless it is of a `FREE` section.
    """
    difference = configs.diff(train.portable(saved), train.portable(wanted))
    for key, (old, new) in difference.items():
        section = key.split(".")[0]
        asked = any(_is_of(key, given) or _is_of(given, key) for given in overrides)
        if section in FIXED or (asked and section not in FREE):
            raise ValueError(
                f"{key} is {new!r}, but the work directory was trained with {old!r}; "
                f"only {', '.join(FREE)} may change after training."
            )


def _is_of(key, section):
    return key == section or key.startswith(section + ".")
