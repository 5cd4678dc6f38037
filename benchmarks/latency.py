"""Milliseconds of one request: diffusion at several numbers of steps, and greedy.

    python -m benchmarks.latency --diffusion=runs/tables/cf_rules_seed0 \\
      --greedy=runs/tables/cf_rules_autoregressive_seed0 \\
      --out=results/latency/cf_rules.json

Batch 1, one draw, compiled beforehand, from text to text. Requests are those of the
test split. Both models answer each request in turn in one process, so that other load
on the machine hits both alike; the greedy one keeps its keys and values and stops when
its program ends.
"""

import argparse
import json
import shlex
import statistics
import sys
import time

from codefusion import assemble, consistency, files, inference
from codefusion import config as configs
from codefusion.commands import allocator, evaluate, provenance, train
from codefusion.evaluation import latency, predict

GREEDY = "greedy"


def main():
    """Measures two work directories and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--diffusion", required=True, help="a work directory")
    parser.add_argument("--greedy", required=True, help="an autoregressive one")
    parser.add_argument("--out", required=True, help="the file to write")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 5, 10, 20, 50])
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    allocator.keep_freed_memory()
    diffusion = one_draw(inference.load(options.diffusion))
    greedy = one_draw(inference.load(options.greedy))
    check_pair(diffusion, greedy)
    found = report(diffusion, greedy, options)
    files.write_whole(options.out, json.dumps(found, indent=2, sort_keys=True) + "\n")
    print(json.dumps({"milliseconds": found["milliseconds"]}))


def one_draw(model):
    """Returns a Generator that answers one request at a time with its likeliest draw.

    Args:
      model: a Generator.
    """
    config = configs.validate(model.config)
    config.inference.update(num_candidates=1, num_draws=1, batch_size=1)
    config.inference.update(num_contexts=1, num_repairs=0, num_beams=0)
    config.inference.token_temperature = 0.0
    if consistency.is_autoregressive(config):
        config.sampler = dict(name="nucleus")
    return model.reconfigured(assemble.check(config))


def check_pair(diffusion, greedy):
    """Raises ValueError unless both are of one data set, the second autoregressive."""
    names = [model.config.data.name for model in (diffusion, greedy)]
    if names[0] != names[1]:
        raise ValueError(
            f"--diffusion is of {names[0]} and --greedy of {names[1]}; expected one "
            "data set."
        )
    for flag, model, wanted in (
        ("diffusion", diffusion, False),
        ("greedy", greedy, True),
    ):
        if model.is_autoregressive != wanted:
            raise ValueError(
                f"--{flag} is of model.name {model.config.model.name!r}; expected "
                f"{'an autoregressive' if wanted else 'a diffusion'} run."
            )


def report(diffusion, greedy, options):
    """Returns the figures of two Generators, as `latency.read` reads them.

    Args:
      diffusion, greedy: Generators of one draw.
      options: `steps`, `requests` and `rounds`.
    """
    dataset = assemble.dataset(greedy.config)
    rows = predict.choose_rows(dataset.examples("test"), options.requests)
    utterances = [row.utterance for row in rows]
    times = measure(
        calls_of(diffusion, greedy, options.steps), utterances, rounds=options.rounds
    )
    by_steps = {name: found for name, found in times.items() if name != GREEDY}
    written = greedy.generate(utterances, truncate=True)
    texts = [answer[0].text for answer in written]
    lengths = [len(greedy.tokenizer.encode(text)) + 1 for text in texts]
    sizes = [provenance.parameters(model) for model in (diffusion, greedy)]
    return {
        "format": latency.FORMAT,
        "header": header(diffusion, greedy, dataset),
        "requests": len(utterances),
        "rounds": options.rounds,
        "milliseconds": {"steps": by_steps, GREEDY: times[GREEDY]},
        "meeting_steps": meeting(by_steps, times[GREEDY]),
        "parameters": sizes[0],
        "greedy_parameters": sizes[1],
        "greedy_tokens": statistics.fmean(lengths),
    }


def header(diffusion, greedy, dataset):
    """Returns the provenance of the figures, dict."""
    return {
        "dataset": dataset.name,
        "command": shlex.join(["python", "-m", "benchmarks.latency", *sys.argv[1:]]),
        "commit": evaluate.commit(),
        "hardware": provenance.hardware(),
        "config": train.portable(diffusion.config).to_dict(),
        "greedy_config": train.portable(greedy.config).to_dict(),
    }


def calls_of(diffusion, greedy, steps):
    """Returns what is timed by name, dict: an utterance -> its answer."""

    def denoise(count):
        return lambda text: diffusion.generate([text], steps=count, truncate=True)

    calls = {str(count): denoise(count) for count in steps}
    return calls | {GREEDY: lambda text: greedy.generate([text], truncate=True)}


def measure(calls, utterances, *, rounds):
    """Returns summaries of milliseconds by name, dict: `median`, `low`, `high`.

    Args:
      calls: name -> a function of an utterance; called once beforehand to compile.
      utterances: list of str; each goes to every call before the next one does.
      rounds: how often; `low` and `high` are the extremes of the rounds' medians.
    """
    for call in calls.values():
        call(utterances[0])
    found = {name: [] for name in calls}
    for _ in range(rounds):
        times = {name: [] for name in calls}
        for utterance in utterances:
            for name, call in calls.items():
                times[name].append(milliseconds(call, utterance))
        for name, spent in times.items():
            found[name].append(spent)
    return {name: summary(spent) for name, spent in found.items()}


def milliseconds(call, utterance):
    """Returns how long a call takes, wall-clock time."""
    start = time.perf_counter()
    call(utterance)
    return 1e3 * (time.perf_counter() - start)


def summary(rounds):
    """Returns the median of all times and the extremes of the rounds' medians, dict."""
    medians = [statistics.median(times) for times in rounds]
    every = [spent for times in rounds for spent in times]
    return dict(median=statistics.median(every), low=min(medians), high=max(medians))


def meeting(by_steps, greedy):
    """Returns how many steps take as long as greedy decoding, by a straight line.

    Args:
      by_steps: number of steps, as text -> summary; at least two.
      greedy: summary.

    Returns:
      A float; None where no number of steps does.
    """
    if len(by_steps) < 2:
        return None
    medians = [found["median"] for found in by_steps.values()]
    slope, offset = statistics.linear_regression([*map(int, by_steps)], medians)
    steps = (greedy["median"] - offset) / slope if slope > 0 else -1.0
    return round(steps, 2) if steps >= 0 else None


if __name__ == "__main__":
    main()
