"""Reads what benchmarks/latency.py measured, for the table of latencies."""

import json

FORMAT = 1
# What a file must hold, and the type of each value.
FIELDS = {
    "header": dict,  # dataset, command, commit, hardware, config
    "requests": int,
    "rounds": int,
    "milliseconds": dict,  # steps -> summary by number, greedy -> summary
    "parameters": int,
    "greedy_parameters": int,
    "greedy_tokens": float,  # written for a request, the end included, a mean
}


def read(path):
    """Returns what `python -m benchmarks.latency` wrote to a file, dict.

    Args:
      path: of the file, str or path.
    """
    with open(path, encoding="utf-8") as file:
        try:
            found = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: not JSON: {error}.") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected latencies of format {FORMAT}; measure them again: "
            "python -m benchmarks.latency."
        )
    for key, kind in FIELDS.items():
        if not isinstance(found.get(key), kind):
            raise ValueError(
                f"{path}: {key}: is {found.get(key)!r}; expected {kind.__name__}."
            )
    return found


def sentence(found):
    """Returns in one sentence how latencies were measured, str.

    Args:
      found: what `read` returned, in a list.
    """
    (only,) = found
    header = only["header"]
    return (
        f"{header['dataset']}: {only['requests']} requests, each answered "
        f"{only['rounds']} times by each in turn in one process: the median over all, "
        "in brackets the lowest and the highest of the rounds' medians; from text to "
        "text, without compilation and repairs; greedy decoding keeps its keys and "
        "values and ends with the program; the steps that take as long by a straight "
        f"line through the medians, if any do; {header['command']}, commit "
        f"{header['commit'][:12]}, on {header['hardware']}."
    )
