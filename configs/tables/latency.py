"""Milliseconds of one request at several numbers of steps, and of greedy decoding.

    codefusion table --config=configs/tables/latency.py --workdir=runs/tables

It renders what `python -m benchmarks.latency` wrote for a diffusion and an
autoregressive run of the same size, rows `X` and `X_autoregressive` of table 1.
"""

from codefusion import config

TABLE = "latency"
LANGUAGES = {"cf_rules": "CF", "nl2bash": "Bash", "conala": "Python"}


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the files of the table."""
    for name, language in LANGUAGES.items():
        add(
            f"{name}_latency",
            f"configs/{name}.py",
            title=f"codefusion, {language}",
            scores=f"results/latency/{name}.json",
        )
