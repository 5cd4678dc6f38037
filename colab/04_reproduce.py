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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/codefusion/codefusion/blob/main/colab/04_reproduce.ipynb)
#
# # A number of a table, and the plan for a pod
#
# Every number in `results/tables` comes from a file of scores that names its config,
# seed, checkpoint, data and commit. One command makes the table again; the same config
# compiles for a pod before a chip is rented.

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
# ## A table from what is kept of its runs
#
# Nothing is trained here: predictions and scores of finished runs are in
# `results/runs`. A row that was not run is blank and says so.

# %%
import contextlib
import io
import os

from IPython.display import Markdown

TABLE = "configs/tables/generated.py"
os.chdir(ROOT)  # configs name each other from here
kept = ["--stored=results/runs", f"--workdir={WORK}/tables"]
with contextlib.redirect_stdout(io.StringIO()):  # it is shown below
    main.main(["codefusion", "table", f"--config={TABLE}", *kept, "--notrain"])
Markdown((WORK / "tables" / "tables" / "generated.md").read_text())

# %% [markdown]
# ## A row trained anew
#
# With `TRAIN = True` the first row is trained, evaluated and put into the table, five
# minutes on two CPU cores. Run again, it resumes, or takes the scores that are there.

# %%
TRAIN = False  # @param {type:"boolean"}
if TRAIN:
    row = [f"--config={TABLE}", "--rows=quickstart_seed0"]
    assert main.main(["codefusion", "table", *row, *kept]) == 0

# %% [markdown]
# ## Where a number comes from

# %%
import json

(path,) = (ROOT / "results/runs/quickstart_seed0/scores").glob("*.json")
scores = json.loads(path.read_text())
for key in ("checkpoint_step", "commit", "data_hash", "tokenizer_hash", "sampler"):
    print(f"{key:16}{scores['header'][key]}")
for name, tops in scores["metrics"].items():
    print(f"{name:16}{100 * tops['top1']['mean']:.1f} % of {scores['rows']} rows")

# %% [markdown]
# ## The plan for a pod
#
# `codefusion plan` compiles a config for chips that are not there: memory of each,
# FLOPs, collectives, predicted time of a step. It needs libtpu (`pip install libtpu`,
# on a machine without a TPU too); without it this shows a plan that is kept.

# %%
TOPOLOGY = "v5e:16x16"
plan = WORK / "plan.md"
if importlib.util.find_spec("libtpu") and not plan.exists():
    command = [sys.executable, "-m", "codefusion", "plan", f"--topology={TOPOLOGY}"]
    paper = f"--config={ROOT}/configs/paper/codefusion.py"
    subprocess.run([*command, paper, "--nofit", "--nosampler", f"--out={plan}"])
if not plan.exists():
    plan = ROOT / "results/plans/paper_codefusion_v5e_16x16.md"
Markdown(plan.read_text())
