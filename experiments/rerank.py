"""Ranks stored draws anew: every ranking on the same draws, and nothing is drawn.

    codefusion evaluate --workdir=RUN --max_rows=100 \\
      --config.inference.num_candidates=N --config.inference.num_draws=N \\
      --config.inference.ranking="{'name': 'none'}"
    python -m experiments.rerank RUN/predictions/FILE.jsonl

N is the config's `inference.num_draws`: 80 of rules, 20 of Bash and Python. Beside the
file it writes one for each ranking, with its scores, as `codefusion evaluate` with that
ranking would, so that `codefusion table` finds them.
"""

import argparse
import copy
import functools
import pathlib
import sys

from codefusion import assemble, ranking
from codefusion import config as configs
from codefusion.commands import evaluate
from codefusion.data import behaviour
from codefusion.evaluation import predict, score

NUM_CANDIDATES = configs.base().inference.num_candidates  # of each request


def main():
    """Writes the files and prints a line for each ranking."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=pathlib.Path, nargs="+")
    parser.add_argument("--rankings", nargs="+", default=sorted(ranking.RANKINGS))
    options = parser.parse_args()
    try:
        for path in options.predictions:
            for name in options.rankings:
                print(line(rerank(path, name)), flush=True)
    except ValueError as error:
        sys.exit(str(error))


def rerank(path, name):
    """Returns the path of the scores that it writes for a ranking of stored draws.

    Args:
      path: of predictions that hold every draw, a pathlib.Path.
      name: in `ranking.RANKINGS`.
    """
    head, rows = predict.read_predictions(path)
    drawn = head["config"]["inference"]
    is_all = drawn["num_candidates"] == drawn["num_draws"]
    if not (is_all and drawn["ranking"]["name"] == "none"):
        raise ValueError(
            f"{path}: holds {drawn['num_candidates']} of {drawn['num_draws']} draws in "
            f"the order {drawn['ranking']['name']!r}; expected all, in order 'none'."
        )
    config = evaluate.config_of(head)
    config.inference.ranking = {"name": name}
    config = assemble.check(config)
    language = assemble.evaluated(config).language
    order = configs.build(ranking.RANKINGS, config.inference.ranking)
    head = copy.deepcopy(head)
    head["config"]["inference"].update(
        num_candidates=NUM_CANDIDATES, ranking={"name": name}
    )
    head["config_diff"] = configs.diff_text(configs.base(), head["config"])
    ranked = [reordered(row, order, language, drawn["prefer_valid"]) for row in rows]
    out = path.with_name(f"{path.stem}-{name}.jsonl")
    predict.write_predictions(out, head, ranked)
    return evaluate.write_scores(out, config)


def reordered(row, order, language, prefer_valid):
    """Returns a row of predictions with its first candidates by a ranking.

    Args:
      row: with every draw, dict.
      order: an object of `ranking.RANKINGS`.
      language: of the programs, str.
      prefer_valid: whether those that parse come first.
    """
    texts = row["candidates"]
    is_valid = functools.cache(functools.partial(assemble.is_valid, language=language))
    preferred = [is_valid(text) for text in texts] if prefer_valid else None
    classify = functools.partial(behaviour.classes, language=language)
    chosen = order.rank(texts, row["log_probs"], preferred, classify)[:NUM_CANDIDATES]
    kept = {key: [row[key][i] for i in chosen] for key in ("candidates", "log_probs")}
    return row | kept


def line(path):
    """Returns a line of figures of a scores file, str."""
    scores = score.read_scores(path)
    told = scores["header"]["config"]
    name = told["inference"]["ranking"]["name"]
    metric = told["evaluation"]["metrics"][0]
    tops = scores["metrics"][metric].values()
    found = " / ".join(f"{100 * each['mean']:.1f}" for each in tops)
    apart = scores["diversity"]["edit_distance"]["mean"]
    return f"{name:10} {metric} {found}  edit distance {apart:.2f}"


if __name__ == "__main__":
    main()
