"""Trains and scores the runs of `runs.py`; one JSON line a run.

    python -m experiments.recipe --runs quickstart adamw --seeds 0 1 2

Every run goes through the product's own commands, `train` and `evaluate`, in processes
of its own, so that a line can be had again by hand. A line holds the run, its seed, the
commit, the seconds of training (compilation included), the last cross-entropy, and at
each number of denoising steps the scores as shares. `--core` keeps a run on one core.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

from experiments import runs


def main():
    """Appends a line to the results for every run and seed asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", nargs="+", default=sorted(runs.RUNS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 5, 20])
    parser.add_argument("--workdir", type=pathlib.Path, default="runs/recipe")
    parser.add_argument("--out", type=pathlib.Path, default="runs/recipe/results.jsonl")
    parser.add_argument("--core", type=int, help="run on this core alone")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a") as file:
        for run in options.runs:
            for seed in options.seeds:
                line = measure(run, seed, options)
                print(json.dumps(line, sort_keys=True), file=file, flush=True)


def measure(run, seed, options):
    """Returns the line of one run, a dict."""
    workdir = options.workdir / f"{run}-seed{seed}"
    command(
        "train",
        f"--config=experiments/runs.py:{run}",
        f"--config.seed={seed}",
        f"--workdir={workdir}",
    )
    scores = {steps: evaluate(workdir, steps) for steps in options.steps}
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    losses = [line for line in lines if line["stage"] == "training"][-1]
    return {
        "run": run,
        "seed": seed,
        "differs": runs.RUNS[run],
        "commit": next(iter(scores.values()))["header"]["commit"],
        "cores": len(os.sched_getaffinity(0)),
        "train_seconds": round(losses["train_seconds"]),
        "cross_entropy": round(losses["cross_entropy"], 4),
        "scores": {steps: summary(found) for steps, found in scores.items()},
    }


def evaluate(workdir, steps):
    """Returns the scores of a work directory at a number of denoising steps."""
    command("evaluate", f"--workdir={workdir}", f"--steps={steps}")
    newest = max((workdir / "scores").glob("*.json"), key=os.path.getmtime)
    return json.loads(newest.read_text())


def summary(scores):
    """Returns what the recipe's table shows, a dict of shares and a distance."""
    metrics = scores["metrics"]
    match = metrics["execution_match"]
    return {
        "rows": match["top1"]["rows"],
        "top1": [match["top1"][key] for key in ("mean", "low", "high")],
        "top5": [match["top5"][key] for key in ("mean", "low", "high")],
        "valid": metrics["validity"]["top1"]["mean"],
        "edit_distance": scores["diversity"]["edit_distance"]["mean"],
    }


def command(name, *flags):
    """Runs a command of the product, or raises."""
    subprocess.run([sys.executable, "-m", "codefusion", name, *flags], check=True)


if __name__ == "__main__":
    main()
