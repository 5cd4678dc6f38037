"""How far a program is from its reference where denoising stops at each step.

    python -m experiments.refinement runs/tables/cf_rules_seed0 \\
      runs/tables/nl2bash_seed0 --out results/refinement.json
    python -m experiments.plots results/refinement.json

One draw of each test request; its estimate is read at every step, token by likeliest
token. Distances are normalised edit distances, to the reference and to what the last
step writes. The CodeFusion paper (Singh et al. 2023) draws the first against the step.
"""

import argparse
import pathlib

from codefusion import assemble, inference
from codefusion.commands import allocator
from codefusion.evaluation import intervals, predict
from codefusion.ranking import edit_similarity
from experiments import measured

NAME = "refinement"


def main():
    """Measures each work directory and writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdirs", type=pathlib.Path, nargs="+")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=100, help="most rows of each")
    parser.add_argument("--steps", type=int, default=20, help="of denoising")
    options = parser.parse_args()
    allocator.keep_freed_memory()
    runs = [measure(inference.load(w), w, options) for w in options.workdirs]
    measured.write(options.out, NAME, runs)
    print(options.out)


def measure(model, workdir, options):
    """Returns the distances of a run by step, dict.

    Args:
      model: its Generator.
      workdir: that it was loaded from, a pathlib.Path.
      options: `rows`, at most, and `steps`.
    """
    dataset = assemble.evaluated(model.config)
    rows = predict.choose_rows(dataset.examples("test"), options.rows)
    times, to_reference, to_last = [], [], []
    for number, row in enumerate(rows):
        times, texts = written(
            model,
            row.utterance,
            number=number,
            steps=options.steps,
            language=dataset.language,
        )
        to_reference.append([1.0 - edit_similarity(text, row.code) for text in texts])
        to_last.append([1.0 - edit_similarity(text, texts[-1]) for text in texts])
    return measured.origin(model, workdir) | {
        "dataset": dataset.name,
        "scheme": dataset.scheme,
        "steps": options.steps,
        "times": times,
        "to_reference": by_step(to_reference),
        "to_last": by_step(to_last),
    }


def written(model, utterance, *, number, steps, language):
    """Returns the diffusion times and the program that is read at each, two lists.

    Args:
      model: a Generator.
      utterance: str, cut where it is too long.
      number: of the request, which its noise depends on.
      steps: of denoising.
      language: of the program.
    """
    times, found = model.trajectory(
        utterance, number=number, steps=steps, truncate=True, language=language
    )
    texts = [model.tokenizer.decode(draws[0]) for draws in found.tokens]
    return times.tolist(), texts


def by_step(distances):
    """Returns the mean over rows with its interval, a dict for each step.

    Args:
      distances: of each row at each step, list of lists of floats.
    """
    bootstrap = intervals.Bootstrap()
    return [bootstrap.summary(list(step)) for step in zip(*distances, strict=True)]


if __name__ == "__main__":
    main()
