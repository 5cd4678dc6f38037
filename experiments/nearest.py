"""The least that a model should beat: the programs of the nearest training requests.

    python -m experiments.nearest --config=configs/nl2bash.py --out=runs/nearest

The candidates are the first distinct programs of the nearest training requests, see
`codefusion/data/neighbors.py`. Nothing is trained.
"""

import argparse
import importlib.util
import pathlib

from rich.console import Console

from codefusion import assemble
from codefusion import config as configs
from codefusion.commands import evaluate, train
from codefusion.data import neighbors
from codefusion.evaluation import predict, score


def main():
    """Writes predictions and scores of a config's test split and prints them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="a file, or file:form")
    parser.add_argument("--out", type=pathlib.Path, default="runs/nearest")
    options = parser.parse_args()
    config = assemble.check(load(options.config))
    dataset, chosen = assemble.dataset(config), config.evaluation
    index = neighbors.Neighbors.of(dataset.examples("train"))
    rows = predict.choose_rows(dataset.examples(chosen.split), chosen.max_rows)
    count = config.inference.num_candidates
    predictions = predict.predict(
        rows, lambda utterances: [answer(index, u, count) for u in utterances]
    )
    path = options.out / f"{dataset.name}_{dataset.scheme}.jsonl"
    predict.write_predictions(path, header(config, dataset), predictions)
    scores = score.score(path, dataset, tuple(chosen.metrics), seed=chosen.seed)
    score.write_scores(path.with_suffix(".json"), scores)
    evaluate.show(Console(soft_wrap=True, highlight=False), scores)


def answer(index, utterance, count):
    """Returns (programs, log_probs): the nearest distinct programs, two lists.

    Args:
      index: the `Neighbors` of the training requests.
      utterance: str.
      count: how many programs; fewer where there are no more.

    The cosine stands where a model writes a log-probability, less 1.
    """
    (rows,), (cosines,) = index.nearest([utterance], count)
    found = rows >= 0
    programs = [index.programs[row] for row in rows[found]]
    return programs, [float(cosine) - 1 for cosine in cosines[found]]


def load(name):
    """Returns the config of `file` or `file:form`, a ConfigDict."""
    file, _, form = name.partition(":")
    spec = importlib.util.spec_from_file_location("chosen_config", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(form) if form else module.get_config()


def header(config, dataset):
    """Returns the provenance of the predictions, a dict as `predict` wants it."""
    plain = train.portable(config).to_dict()
    return {
        "dataset": dataset.name,
        "split": config.evaluation.split,
        "scheme": dataset.scheme,
        "data_hash": dataset.content_hash,
        "tokenizer_hash": "",
        "config": plain,
        "config_diff": configs.diff_text(configs.base(), plain),
        "seed": config.evaluation.seed,
        "sampler": "nearest request",
        "num_steps": 0,
        "checkpoint_step": 0,
        "commit": evaluate.commit(),
        "max_rows": config.evaluation.max_rows,
        "truncated_utterances": 0,
    }


if __name__ == "__main__":
    main()
