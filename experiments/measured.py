"""Files of what an experiment measured on trained runs, each with what it came from."""

import json
import shlex
import sys

from codefusion import files
from codefusion.commands import evaluate, provenance, train


def write(path, name, runs):
    """Writes a JSON file with the command, commit and hardware of this process.

    Args:
      path: of the file.
      name: of the experiment, that of its module in `experiments`.
      runs: what was measured of each run, a list of dicts for JSON.
    """
    found = {
        "name": name,
        "command": shlex.join(["python", "-m", f"experiments.{name}", *sys.argv[1:]]),
        "commit": evaluate.commit(),
        "hardware": provenance.hardware(),
        "runs": runs,
    }
    files.write_whole(path, json.dumps(found, indent=1, sort_keys=True) + "\n")


def origin(model, workdir):
    """Returns which run, step and config a measurement is of, dict.

    Args:
      model: an `inference.Generator`.
      workdir: that it was loaded from, a pathlib.Path.
    """
    return {
        "run": workdir.name,
        "checkpoint_step": int(model.step),
        "config": train.portable(model.config).to_dict(),
    }
