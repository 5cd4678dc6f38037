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
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/codefusion/codefusion/blob/main/colab/03_noise_to_code.ipynb)
#
# # From noise to code: what decides whether it is learned
#
# A program is a sequence of embeddings x0. Noise is added to them by
# `xt = alpha(t) c x0 + sigma(t) noise`, and the model learns to undo it. Three things
# decide what there is to learn: the schedule (alpha and sigma), the embedding scale c,
# and the width of the embedding.

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
# ## Schedules
#
# t = 0 is the program and t = 1 is noise. The log signal-to-noise ratio says the same
# on a scale on which schedules can be compared.

# %%
import jax
import jax.numpy as jnp

from codefusion import diffusion
from codefusion.analysis import curves, noise_levels, notebook
from codefusion.analysis.charts import Chart, lines

times = jnp.linspace(0.0, 1.0, 51)
made = {name: schedule() for name, schedule in diffusion.SCHEDULES.items()}
alphas = lines(times, {name: each.alpha(times) for name, each in made.items()})
log_snrs = lines(times, {name: each.log_snr(times) for name, each in made.items()})
notebook.show(
    Chart("alpha", "Signal rate", "t, 1 is noise", "alpha(t)", alphas),
    Chart("log_snr", "Signal to noise", "t, 1 is noise", "log SNR", log_snrs),
)

# %% [markdown]
# ## Why the embedding scale decides
#
# A token is legible at a noise level where its own embedding is the nearest of all to
# the noised one. At c = 1 wide embeddings are legible until t is almost 1: most noise
# levels ask nothing of the model, and the step from pure noise, which matters most, is
# hardly ever trained. A smaller c, or a narrower embedding, spreads the task over t.
# Too small a c hides the program at every t, and the model learns to guess it at once.

# %%
TOKENS, WIDTH = 1000, 96
sqrt = diffusion.SqrtSchedule()
random = jax.random.normal(jax.random.key(0), (TOKENS, WIDTH))
by_scale = {
    f"c = {c}": noise_levels.legible(diffusion.GaussianProcess(sqrt, c), random, times)
    for c in (1.0, 0.5, 0.25, 0.1)
}
by_width = {
    f"width {width}": noise_levels.legible(
        diffusion.GaussianProcess(sqrt, 0.25), random[:, :width], times
    )
    for width in (96, 32, 8)
}
axes = ("t, 1 is noise", "share of tokens legible")
notebook.show(
    Chart("scale", f"Embedding scale, width {WIDTH}", *axes, lines(times, by_scale)),
    Chart("width", "Embedding width, c = 0.25", *axes, lines(times, by_width)),
)

# %% [markdown]
# ## What each noise level hides
#
# A program at several noise levels, read by the nearest embeddings of the model in the
# package: with the scale that it was trained with, and with c = 1.

# %%
PROGRAM = "find . -name '*.txt' -size +10M"
model = codefusion.load()
levels = (0.001, 0.01, 0.05, 0.2, 0.5, 0.9)
for c in (model.config.diffusion.embedding_scale, 1.0):
    process = diffusion.GaussianProcess(model.parts.process.schedule, c)
    print(f"c = {c}")
    read = noise_levels.readings(model, PROGRAM, levels, process=process)
    for t, text in zip(levels, read, strict=True):
        print(f"  t = {t:5}  {text!r}")

# %% [markdown]
# The model does not read the noised program alone: it has the request. Its
# cross-entropy against t shows what the noise takes from it. Where it rises with t,
# more steps may mend what the first ones miss. Where it is flat, as nearly here, where
# the request determines the rule, a sample is one guess, however many steps it takes.

# %%
model.config.evaluation.dataset = "generated"  # rules, which need no file
found = noise_levels.measure_all(model, 32)
notebook.show(curves.of_noise_levels(found))
