"""A trained work directory as a generator, under the command line's changes."""

import dataclasses
import os

from codefusion import assemble, inference
from codefusion import config as configs

# Sections that say how to sample and score; the rest is fixed by training.
FREE = ("sampler", "inference", "evaluation")


def load(call, command, *, step=None):
    """Returns the Generator of a call's work directory.

    Settings of `FREE` sections come from the call's config; a change to what was
    trained is an error.

    Args:
      call: a `main.Call`.
      command: its name, for the error.
      step: of the checkpoint, int; None takes the newest that is intact.
    """
    if not call.flags.workdir:
        raise ValueError(f"{command} needs --workdir=DIR, the folder train wrote.")
    if not os.path.isfile(os.path.join(call.flags.workdir, "config.json")):
        raise ValueError(
            f"--workdir is {call.flags.workdir!r}, which holds no config.json; "
            "expected a folder that codefusion train wrote."
        )
    model = inference.load(call.flags.workdir, step)
    if not (call.overrides or call.config_file):
        return model
    wanted = configs.validate(call.config)
    check_unchanged(configs.validate(model.config), wanted)
    merged = configs.validate(model.config)
    for section in FREE:
        merged[section] = wanted[section]
    merged = assemble.check(merged)
    parts = assemble.parts(merged, model.tokenizer.vocab_size)
    return dataclasses.replace(model, config=merged, parts=parts)


def check_unchanged(saved, wanted):
    """Raises ValueError where a config differs in what the training fixed."""
    fixed = ("data", "tokenizer", "model", "diffusion")
    difference = configs.diff(saved, wanted)
    for key, (old, new) in difference.items():
        if key.split(".")[0] in fixed:
            raise ValueError(
                f"{key} is {new!r}, but the work directory was trained with {old!r}; "
                f"only {', '.join(FREE)} may change after training."
            )
