# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/codefusion/codefusion/blob/main/colab/02_train.ipynb)
#
# # Train a model, then one on your own pairs
#
# First the quickstart: conditional-formatting rules from a grammar that is in the
# package, so nothing is downloaded. Then a file of your own. A second run of this
# notebook goes on where the first one stopped, also after a disconnect if `WORK` is a
# folder that stays.

# %%
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
from importlib import metadata

WORK = pathlib.Path("codefusion_runs").absolute()  # on Colab: a folder of your Drive
SOURCE = pathlib.Path(tempfile.gettempdir(), "codefusion-source")

if importlib.util.find_spec("codefusion") is None:
    if not SOURCE.is_dir():
        url = "https://github.com/codefusion/codefusion"
        clone = ["git", "clone", "--quiet", "--depth=1", url, SOURCE]
        subprocess.run(clone, check=True)
    kept = [d for d in metadata.distributions() if d.name.startswith("jax")]
    as_it_is = SOURCE / "kept.txt"  # the jax of this machine is never replaced
    as_it_is.write_text("".join(f"{d.name}=={d.version}\n" for d in kept))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--editable", SOURCE]
    if subprocess.run([*pip, "--constraint", as_it_is]).returncode:
        raise RuntimeError(
            "The jax here is too old for codefusion. Run the next line in a cell of "
            "its own, on such a machine with [tpu] or [cuda] behind the path, then "
            f"restart the session.\n%pip install --editable {SOURCE}"
        )
    sys.path.insert(0, str(SOURCE))

import codefusion
from codefusion import main

ROOT = pathlib.Path(codefusion.__file__).parents[1]
is_ready = main.main(["codefusion", "doctor", "--brief", f"--workdir={WORK}"]) == 0

# %% [markdown]
# ## The quickstart, cut to size
#
# `FULL` is the quickstart itself: 1,450 steps, five minutes on two CPU cores, 9 of 10
# rules right. Without it, as on a CPU unless you change it, a model of one layer each
# takes a few steps: the loss falls, and what it writes is not yet worth reading.

# %%
import jax

from codefusion.analysis import notebook, trajectory

FULL = jax.default_backend() != "cpu"
short = [
    f"--config.model.{part}_layers=1" for part in ("encoder", "denoiser", "decoder")
]
short += ["--config.training.num_steps=60"]
size = [] if FULL else short
logged = "--config.training.log_every=5"

RULES = WORK / ("quickstart" if FULL else "quickstart-short")
quickstart = [f"--config={ROOT}/configs/quickstart.py", f"--workdir={RULES}"]
guided = "--config.training.context_dropout=0.1"  # for the guidance in 01_generate
with notebook.watching(RULES):
    assert main.main(["codefusion", "train", *quickstart, *size, logged, guided]) == 0

# %% [markdown]
# What it makes of a request that it has not seen, from noise to the end:

# %%
trajectory.film(codefusion.load(RULES), "highlight cells greater than 25", num_draws=2)

# %% [markdown]
# ## Your own pairs
#
# A file with a request and a program on each line, in any language. Without one, this
# makes pairs of a language that nobody knows. `codefusion data` looks at every row: a
# bad one is named by file, line and field.

# %%
import json

PAIRS = WORK / "pairs.jsonl"  # name your own file here
if not PAIRS.exists():
    ways = [(way, n) for way in ("up", "down", "left") for n in range(30)]
    made = [dict(utterance=f"go {w} {n} times", code=f"{w[0]}{n};") for w, n in ways]
    rows = [json.dumps(each) for each in made]
    PAIRS.write_text("\n".join(rows) + "\n")
own = [f"--config={ROOT}/configs/custom.py", f"--config.data.train={PAIRS}"]
assert main.main(["codefusion", "data", *own]) == 0

# %%
MINE = WORK / ("mine" if FULL else "mine-short")
mine = [*own, f"--workdir={MINE}"]
with notebook.watching(MINE):
    assert main.main(["codefusion", "train", *mine, *size, logged]) == 0
assert main.main(["codefusion", "evaluate", f"--workdir={MINE}", "--max_rows=8"]) == 0
