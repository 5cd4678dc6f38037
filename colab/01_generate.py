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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/codefusion/codefusion/blob/main/colab/01_generate.ipynb)
#
# # Noise becomes code
#
# A request in plain language, and a model that turns Gaussian noise into a program. The
# model is in the package (2.9 M parameters: Bash, Python and conditional-formatting
# rules); it needs no training and no accelerator.
#
# The next cell installs codefusion where it is missing and says what is wrong, if
# anything, and the command that mends it.

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
# ## Candidates
#
# The best first. Rules and common commands come out right, Python hardly ever: the
# model is small. `MODEL = None` is that of the package; a work directory of `02_train`
# does as well.

# %%
MODEL = None
model = codefusion.load(MODEL)
REQUESTS = {
    "bash": "list all text files modified in the last 7 days",
    "python": "sort a list of dictionaries by key 'name'",
    "cf": "highlight cells greater than 25",
}
for language in model.languages:
    request = REQUESTS[language]
    (candidates,) = model.generate([request], num_candidates=3, language=language)
    print(f"{request}  ({language})")
    for text in dict.fromkeys(candidate.text for candidate in candidates):
        print(f"  {text}")

# %% [markdown]
# ## The film
#
# Each still is what a draw would be if denoising stopped there. Press play, or drag. A
# token is tinted while the decoder is unsure of it; touch one for its numbers. Where
# the request says all, the first step has it; the one below leaves something open.

# %%
from codefusion.analysis import trajectory

film = trajectory.film(
    model, "count the lines of all python files", num_draws=3, seed=1
)
WORK.mkdir(exist_ok=True)
film.save(WORK / "film.html")  # the same as a page of its own, to pass on
film

# %% [markdown]
# ## Steps and guidance
#
# With few steps a draw is one guess; with more it is drawn from what the request
# allows. Guidance above 1 follows the request more closely. It needs a model that was
# trained with `training.context_dropout`: that of `02_train` was, that of the package
# was not, and there it stays 1.

# %%
REQUEST = "list all directories"  # @param {type:"string"}
LANGUAGE = "bash"  # @param ["bash", "python", "cf"]
STEPS = 5  # @param {type:"slider", min:1, max:50, step:1}
GUIDANCE = 1.0  # @param {type:"slider", min:0, max:4, step:0.5}
SEED = 0  # @param {type:"integer"}


def answer(steps, guidance, seed):
    """Prints the candidates of REQUEST."""
    guided = guidance if model.config.training.context_dropout else None
    language = LANGUAGE if LANGUAGE in model.languages else None
    (candidates,) = model.generate(
        [REQUEST], steps=steps, guidance=guided, seed=seed, language=language
    )
    print("\n".join(candidate.text for candidate in candidates))


answer(STEPS, GUIDANCE, SEED)
if importlib.util.find_spec("ipywidgets"):
    from ipywidgets import interact_manual

    interact_manual(answer, steps=(1, 50), guidance=(0.0, 4.0, 0.5), seed=(0, 99))
