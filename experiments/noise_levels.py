"""What the model makes of each noise level: the cross-entropy against time.

    python -m experiments.noise_levels --workdir=runs/nl2bash --rows=256

A table for the terminal; `codefusion plot --noise_levels` draws the same figures, and
`codefusion.analysis.noise_levels` says what they are.
"""

import argparse

from codefusion import inference
from codefusion.analysis import noise_levels


def main():
    """Prints a Markdown table: a time a row, both splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--rows", type=int, default=256)
    options = parser.parse_args()
    found = noise_levels.measure_all(inference.load(options.workdir), options.rows)
    splits = noise_levels.SPLITS
    print("| t | " + " | ".join(f"{s}: nats a token, right" for s in splits) + " |")
    print("| --- " * (1 + len(splits)) + "|")
    for level in found["levels"]:
        cells = [
            f"{level[split]['cross_entropy']:.2f}, {100 * level[split]['right']:.0f} %"
            for split in splits
        ]
        print(f"| {level['t']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
