"""Copies predictions and scores of the finished runs of a table; never weights.

    python -m experiments.keep runs/tables results/runs

A run is finished where its newest checkpoint is of its last step. `codefusion table
--stored=results/runs` renders from what is kept.
"""

import argparse
import pathlib

from codefusion import files, workdirs
from codefusion.commands import evaluate
from codefusion.evaluation import predict, score


def main():
    """Copies, and prints a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=pathlib.Path, help="of codefusion table")
    parser.add_argument("out", type=pathlib.Path, help="folder to keep them in")
    options = parser.parse_args()
    for run in sorted(options.workdir.glob("*/config.json")):
        print(keep(run.parent, options.out / run.parent.name), flush=True)


def keep(run, out):
    """Returns in a line what it copied of a run, or why nothing.

    Args:
      run: the work directory of a run, a path.
      out: its folder among the kept ones, a path.
    """
    config = workdirs.read_config(run / "config.json")
    if not workdirs.is_finished(run, config):
        return f"{run.name}: not finished, nothing kept"
    kept, stale = 0, []
    for scores in sorted((run / "scores").glob("*.json")):
        predictions = evaluate.predictions_path(scores)
        if not is_of(scores, predictions, workdirs.last_step(config)):
            stale.append(scores.name)
            continue
        for path in (predictions, scores):
            files.write_whole(out / path.parent.name / path.name, path.read_bytes())
        kept += 1
    left = f"; of another step or other predictions: {', '.join(stale)}"
    return f"{run.name}: {kept} kept{left if stale else ''}"


def is_of(scores, predictions, step):
    """Returns whether scores are of a step and of a predictions file, bool."""
    header = score.read_scores(scores)["header"]
    if header["checkpoint_step"] != step or not predictions.is_file():
        return False
    return predict.read_predictions(predictions)[0] == header


if __name__ == "__main__":
    main()
