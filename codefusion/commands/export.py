"""`codefusion export`: a trained model as a folder to publish, read back and compared.

The folder has model.safetensors, config.json, tokenizer.model, README.md (the model
card) and config.py, which trains it again. `codefusion.load` and the commands read it
like a work directory.
"""

import pathlib
import sys

import jax
import numpy as np
from absl import flags

from codefusion import config as configs
from codefusion import files, workdirs
from codefusion.checkpoints import Checkpoints
from codefusion.commands import model_card, train, trained
from codefusion.models import exported

_CONFIG_FILE = '''"""The config of this model, to train it again.

    codefusion train --config=config.py --workdir=runs/again
"""

import pathlib

from codefusion import config


def get_config():
    """Returns the config."""
    return config.from_json(pathlib.Path(__file__).with_name("config.json").read_text())
'''


def define(flag_values):
    """Adds the command's flags."""
    flags.DEFINE_string("out", None, "Folder to write.", flag_values=flag_values)
    flags.DEFINE_integer(
        "step",
        None,
        "Step of the checkpoint to export; without it the newest.",
        lower_bound=0,
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "dtype",
        "float32",
        ["float32", "float16"],
        "Of the numbers in the file; float16 rounds them and halves the file.",
        flag_values=flag_values,
    )


def run(call):
    """Exports the call's work directory and prints what was written."""
    trained.check_workdir(call, "export")
    out = check_out(call.flags.out, call.flags.workdir)
    dtype = call.flags.dtype
    step = write(call.flags.workdir, out, step=call.flags.step, dtype=dtype)
    size = (out / exported.FILE).stat().st_size / 2**20
    print(
        f"Exported step {step} to {out} ({size:.1f} MiB), read back and found equal.",
        file=sys.stderr,
    )


def check_out(out, workdir):
    """Returns the folder of --out, which may be missing, empty, or an older export.

    Args:
      out: the value of --out, or None.
      workdir: the work directory.
    """
    if not out:
        raise ValueError("export needs --out=DIR, the folder to write.")
    folder = pathlib.Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out is {out!r}, which is a file; expected a folder.")
    inside = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    # Or the part of it that an export which was cut off has left.
    is_export = any(name.startswith(exported.FILE) for name in inside)
    if inside and (not is_export or "checkpoints" in inside):
        raise ValueError(
            f"--out is {out!r}, which holds {inside[0]}; expected a new folder, or one "
            "that codefusion export wrote."
        )
    if folder.resolve() == pathlib.Path(workdir).resolve():
        raise ValueError("--out is the work directory; expected another folder.")
    return folder


def write(workdir, out, *, step=None, dtype="float32"):
    """Returns the step that it exports to a folder, and reads back.

    Args:
      workdir: a folder that training wrote.
      out: the folder to write, a pathlib.Path.
      step: of the checkpoint, int; None takes the newest that is intact.
      dtype: of the numbers in the file, float32 or float16, str.
    """
    config, tokenizer, params, step = workdirs.read(workdir, step)
    config = train.portable(config)
    params = rounded(params, dtype)
    extra = extra_of(workdir, step)
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob("*.partial"):
        path.unlink()
    # First, as it tells the folder to be ours if the export is cut off.
    hash_ = tokenizer.content_hash
    exported.write(out, params, step=step, tokenizer_hash=hash_)
    files.write_whole(out / "config.json", configs.to_json(config))
    files.write_whole(out / "config.py", _CONFIG_FILE)
    tokenizer.save(out / "tokenizer.model")
    card = model_card.text(workdir, out, config, tokenizer, params, extra)
    files.write_whole(out / "README.md", card)
    check_equal(out, config, tokenizer, rounded(params, "float32"), step)
    return step


def rounded(params, dtype):
    """Returns parameters of a dtype.

    Args:
      params: a tree of arrays.
      dtype: float32 or float16, str.

    Raises:
      ValueError: a number is not finite, or beyond what the dtype holds.
    """
    with np.errstate(over="ignore"):  # told below, with its name
        found = jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), params)
    given = exported.named(params)
    for name, leaf in exported.named(found).items():
        if not np.isfinite(given[name]).all():
            raise ValueError(
                f"{name} has numbers that are not finite; export another step, --step."
            )
        if not np.isfinite(leaf).all():
            raise ValueError(
                f"{name} has numbers beyond {dtype}; expected --dtype=float32."
            )
    return found


def extra_of(workdir, step):
    """Returns what was saved beside the state of a step, with the step itself.

    Args:
      workdir: a folder that training wrote.
      step: of the checkpoint, int.
    """
    saved = Checkpoints(workdir)
    if step not in saved.steps():
        raise ValueError(
            f"--workdir is {str(workdir)!r}, which is an export itself; copy it, or "
            "name the folder that codefusion train wrote."
        )
    return saved.extra(step) | {"step": step}


def check_equal(out, config, tokenizer, params, step):
    """Raises ValueError unless an export is read back as what was exported.

    Args:
      out: the folder, a pathlib.Path.
      config: what its config.json should say.
      tokenizer: what its tokenizer.model should be.
      params: what its parameters should be to the bit, a tree of arrays.
      step: the training step that it should name.
    """
    found = workdirs.read(out)
    mine, its = exported.named(params), exported.named(found[2])
    equal = {
        "config.json": configs.to_json(found[0]) == configs.to_json(config),
        "tokenizer.model": found[1].content_hash == tokenizer.content_hash,
        exported.FILE: found[3] == step
        and mine.keys() == its.keys()
        and all(_same_bytes(mine[name], its[name]) for name in mine),
    }
    wrong = [name for name, is_equal in equal.items() if not is_equal]
    if wrong:
        raise ValueError(
            f"{out / wrong[0]} is not what was written to it; look to the disk, and "
            "export again."
        )


def _same_bytes(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
