"""The least that a model should beat: the programs of the nearest training requests.

    python -m experiments.nearest --config=configs/nl2bash.py --out=runs/nearest

A request is a bag of words weighted by tf-idf; the candidates are the first distinct
programs of the training requests with the greatest cosine to it. Nothing is trained.
"""

import argparse
import collections
import importlib.util
import math
import pathlib
import re

import numpy as np
from rich.console import Console

from codefusion import assemble
from codefusion import config as configs
from codefusion.commands import evaluate, train
from codefusion.evaluation import predict, score

_WORD = re.compile(r"\w+(?:[.*/-]+\w+)*|[^\w\s]")


class Nearest:
    """Training requests as unit vectors of tf-idf, and their programs.

    Args:
      examples: training rows with `utterance` and `code`.
    """

    def __init__(self, examples):
        self._codes = [example.code for example in examples]
        bags = [_bag(example.utterance) for example in examples]
        count = collections.Counter(word for bag in bags for word in bag)
        self._weight = {word: math.log(len(bags) / n) for word, n in count.items()}
        self._rows = collections.defaultdict(list)
        for row, bag in enumerate(bags):
            for word, value in self._vector(bag).items():
                self._rows[word].append((row, value))

    def programs(self, utterance, count):
        """Returns (programs, log_probs): the nearest distinct programs, two lists.

        Args:
          utterance: str.
          count: how many programs; fewer where there are no more.

        The cosine stands where a model writes a log-probability, less 1.
        """
        cosine = np.zeros(len(self._codes))
        for word, value in self._vector(_bag(utterance)).items():
            for row, other in self._rows[word]:
                cosine[row] += value * other
        best = {}
        for row in np.argsort(-cosine, kind="stable"):
            best.setdefault(self._codes[row], float(cosine[row]) - 1.0)
            if len(best) == count:
                break
        return list(best), list(best.values())

    def _vector(self, bag):
        values = {w: n * self._weight[w] for w, n in bag.items() if w in self._weight}
        length = math.sqrt(sum(value**2 for value in values.values())) or 1.0
        return {word: value / length for word, value in values.items()}


def main():
    """Writes predictions and scores of a config's test split and prints them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="a file, or file:form")
    parser.add_argument("--out", type=pathlib.Path, default="runs/nearest")
    options = parser.parse_args()
    config = assemble.check(load(options.config))
    dataset, chosen = assemble.dataset(config), config.evaluation
    nearest = Nearest(dataset.examples("train"))
    rows = predict.choose_rows(dataset.examples(chosen.split), chosen.max_rows)
    count = config.inference.num_candidates
    predictions = predict.predict(
        rows, lambda utterances: [nearest.programs(u, count) for u in utterances]
    )
    path = options.out / f"{dataset.name}_{dataset.scheme}.jsonl"
    predict.write_predictions(path, header(config, dataset), predictions)
    scores = score.score(path, dataset, tuple(chosen.metrics), seed=chosen.seed)
    score.write_scores(path.with_suffix(".json"), scores)
    evaluate.show(Console(soft_wrap=True, highlight=False), scores)


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


def _bag(text):
    return collections.Counter(_WORD.findall(text.lower()))


if __name__ == "__main__":
    main()
