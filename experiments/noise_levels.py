"""What models make of each noise level: the cross-entropy against time.

    python -m experiments.noise_levels runs/nl2bash --rows=256 --out levels.json

A table of each run for the terminal, and a file where one is asked for; `codefusion
plot --noise_levels` draws the same figures, and `codefusion.analysis.noise_levels` says
what they are. An autoregressive model, which has no noise, has one line.
"""

import argparse
import pathlib

from codefusion import inference
from codefusion.analysis import noise_levels
from experiments import measured

NAME = "noise_levels"


def main():
    """Prints a Markdown table of each run, and writes the figures of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdirs", type=pathlib.Path, nargs="+")
    parser.add_argument("--rows", type=int, default=256, help="most rows of a split")
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file of the figures")
    options = parser.parse_args()
    runs = []
    for workdir in options.workdirs:
        runs.append(measure(workdir, options.rows))
        print(f"{workdir}\n\n{table(runs[-1]['levels'])}\n", flush=True)
    if options.out:
        measured.write(options.out, NAME, runs)


def measure(workdir, count):
    """Returns the figures of a run, dict.

    Args:
      workdir: of the run, a pathlib.Path.
      count: most rows of a split.
    """
    model = inference.load(workdir)
    if model.is_autoregressive:
        found = noise_levels.measure_written(model, count)
    else:
        found = noise_levels.measure_all(model, count)
    origin = measured.origin(model, workdir)
    return origin | {"rows": found["rows"], "levels": found["levels"]}


def table(levels):
    """Returns a Markdown table: a time a row, both splits; str.

    Args:
      levels: as `noise_levels.measure_all` has them.
    """
    splits = noise_levels.SPLITS
    lines = [
        "| t | " + " | ".join(f"{s}: nats a token, right" for s in splits) + " |",
        "| --- " * (1 + len(splits)) + "|",
    ]
    for level in levels:
        cells = [
            f"{level[split]['cross_entropy']:.2f}, {100 * level[split]['right']:.0f} %"
            for split in splits
        ]
        t = "" if level["t"] is None else level["t"]
        lines.append(f"| {t} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
