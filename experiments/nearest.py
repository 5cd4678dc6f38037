"""The least that a model should beat: the programs of the nearest training requests.

    python -m experiments.nearest --config=configs/nl2bash.py --out=runs/nearest

The candidates are the first distinct programs of the nearest training requests, see
`codefusion/data/neighbors.py`. Nothing is trained.
"""

import argparse
import pathlib

from rich.console import Console

from codefusion import assemble
from codefusion import main as program
from codefusion.commands import evaluate
from codefusion.data import neighbors
from codefusion.evaluation import predict, score


def main():
    """Writes predictions and scores of a config's test split and prints them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="a file, or file:form")
    parser.add_argument("--out", type=pathlib.Path, default="runs/nearest")
    options = parser.parse_args()
    call = program.parse("evaluate", [f"--config={options.config}"])
    config = assemble.check(call.config)
    dataset, chosen = assemble.dataset(config), config.evaluation
    index = neighbors.Neighbors.of(dataset.examples("train"))
    rows = predict.choose_rows(dataset.examples(chosen.split), chosen.max_rows)
    count = config.inference.num_candidates
    answers = [answer(index, row.utterance, count) for row in rows]
    predictions = predict.rows_of(rows, answers)
    path = options.out / f"{dataset.name}_{dataset.scheme}.jsonl"
    predict.write_predictions(path, header(config, dataset), predictions)
    scores = score.score(path, dataset, tuple(chosen.metrics), seed=chosen.seed)
    score.write_scores(path.with_suffix(".json"), scores)
    evaluate.show(Console(soft_wrap=True, highlight=False), scores)


def answer(index, utterance, count):
    """Returns (programs, log_probs): the nearest distinct programs, two lists.

    The cosine less 1 stands where a model has a log-probability.

    Args:
      index: the `Neighbors` of the training requests.
      utterance: str.
      count: how many programs; fewer where there are no more.
    """
    (rows,), (cosines,) = index.nearest([utterance], count)
    found = rows >= 0
    programs = [index.programs[row] for row in rows[found]]
    return programs, [float(cosine) - 1 for cosine in cosines[found]]


def header(config, dataset):
    """Returns the provenance of the predictions, a dict as `predict` wants it."""
    told = evaluate.header(config, dataset, tokenizer_hash="", step=0)
    of_ours = dict(sampler="nearest request", num_steps=0, truncated_utterances=0)
    return told | of_ours


if __name__ == "__main__":
    main()
