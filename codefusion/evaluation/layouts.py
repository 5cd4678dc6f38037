"""The tables there are: what their columns show and which files they are made of."""

import dataclasses
from collections.abc import Callable

from codefusion.evaluation import latency, origins
from codefusion.evaluation.columns import Column, Fact, MeanColumn
from codefusion.evaluation.score import read_scores

LANGUAGES = {"conala": "Python", "nl2bash": "Bash", "cf_rules": "CF"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a table shows.

    Attributes:
      title: of the table.
      columns: from left to right.
      by_dataset: whether each data set has a line of its own.
      read: path of a file -> what it holds, dict with `header` and, in it, `dataset`.
      tell: files of a data set, one for each seed -> a sentence on their origin.
    """

    title: str
    columns: tuple
    by_dataset: bool = False
    read: Callable = read_scores
    tell: Callable = origins.sentence


def _top(group, metric, dataset):
    path = ("metrics", metric)
    return [
        Column(group, f"top-{k}", (*path, f"top{k}"), dataset=dataset)
        for k in (1, 3, 5)
    ]


def _valid(dataset, group="valid", title="top-1"):
    return Column(group, title, ("metrics", "validity", "top1"), dataset)


def _diversity(group, title, part):
    return Column(group, title, ("diversity", part), scale=1.0, digits=2)


def _of_each(group, path, *, scale, digits=1):
    """Returns a column of facts for each language."""
    return [
        Fact(group, title, path, dataset=name, scale=scale, digits=digits)
        for name, title in LANGUAGES.items()
    ]


def _setting(title, *path, digits=2):
    """Returns a column of what a line's config has at a path."""
    return Fact("setting", title, ("header", "config", *path), digits=digits)


def _milliseconds(title, *path):
    path = ("milliseconds", *path)
    return Column("ms a request", title, path, scale=1.0, centre="median")


def _cost_of(name):
    size, time = ("header", "parameters"), ("header", "training_seconds")
    return (
        Fact("parameters", "M", size, name, scale=1e-6, digits=2),
        Fact("training", "min", time, name, scale=1 / 60),
    )


_COST = (
    *_of_each("parameters, M", ("header", "parameters"), scale=1e-6, digits=2),
    *_of_each("training, min", ("header", "training_seconds"), scale=1 / 60),
)
# What a choice of sampling trades: right at once, right among five, five that differ.
_RIGHT = (*_top("execution match", "execution_match", "cf_rules"), _valid("cf_rules"))
_DIFFERENT = (
    _diversity("distinct n-grams", "4", "distinct_4"),
    _diversity("between candidates", "edit distance", "edit_distance"),
)

TABLES = {
    "table1": Layout(
        "Top-k of each language, %",
        (
            *_top("Python CodeBERTScore", "codebert_score", "conala"),
            *_top("Python chrF", "chrf", "conala"),
            *_top("Bash template match", "template_match_loose", "nl2bash"),
            *_top("CF execution match", "execution_match", "cf_rules"),
            *_of_each(
                "rows seen in training", ("seen_in_training", "mean"), scale=100.0
            ),
            *_COST,
        ),
    ),
    "table2": Layout(
        "Diversity of the first five candidates",
        (
            *(
                _diversity("distinct n-grams", str(n), f"distinct_{n}")
                for n in range(1, 5)
            ),
            _diversity(
                "between candidates", "hashed n-gram cosine", "hashed_ngram_similarity"
            ),
            _diversity("between candidates", "edit distance", "edit_distance"),
        ),
        by_dataset=True,
    ),
    "table3": Layout(
        "Syntactically valid first candidates, %",
        (
            *(_valid(name, "valid top-1", title) for name, title in LANGUAGES.items()),
            MeanColumn("valid top-1", over=tuple(LANGUAGES.values())),
        ),
    ),
    "generated": Layout(
        "Held-out generated rules, %",
        (
            *_top("execution match", "execution_match", "generated"),
            *_top("exact match", "exact_match", "generated"),
            _valid("generated"),
            *_cost_of("generated"),
        ),
    ),
    "table4": Layout(
        "What the parts are worth: conditional-formatting rules, %",
        (
            *_RIGHT,
            *_DIFFERENT,
            *_cost_of("cf_rules"),
            # The paper's alone: neither what of nor of which k is known.
            Fact("mean of three languages", "lost, %", ("lost",)),
        ),
    ),
    "steps": Layout(
        "Quality against denoising steps: conditional-formatting rules, %",
        (
            Fact("denoising", "sampler", ("header", "sampler")),
            Fact("denoising", "steps", ("header", "num_steps"), digits=0),
            *_RIGHT,
            *_DIFFERENT,
        ),
    ),
    "frontier": Layout(
        "Right against different: conditional-formatting rules, %",
        (
            _setting("guidance", "inference", "guidance"),
            _setting("eta", "sampler", "eta"),
            _setting("temperature", "inference", "temperature"),
            _setting("token temperature", "inference", "token_temperature"),
            _setting("embedding scale", "diffusion", "embedding_scale"),
            *_RIGHT,
            *_DIFFERENT,
        ),
    ),
    "rankings": Layout(
        "Which draws are shown first, %",
        (
            *_top("Python chrF", "chrf", "conala"),
            *_top("Bash template match", "template_match_loose", "nl2bash"),
            *_top("CF execution match", "execution_match", "cf_rules"),
        ),
    ),
    "latency": Layout(
        "Milliseconds of one request, batch 1, one draw",
        (
            *(
                _milliseconds(f"{n:,} step{'s' if n > 1 else ''}", "steps", str(n))
                for n in (1, 5, 10, 20, 50, 1200)
            ),
            _milliseconds("greedy", "greedy"),
            Fact("as long as greedy", "steps", ("meeting_steps",)),
            Fact("written greedily", "tokens", ("greedy_tokens",)),
            Fact("parameters, M", "diffusion", ("parameters",), scale=1e-6, digits=2),
            Fact(
                "parameters, M",
                "greedy",
                ("greedy_parameters",),
                scale=1e-6,
                digits=2,
            ),
        ),
        read=latency.read,
        tell=latency.sentence,
    ),
}
