"""Which draws are shown first: each ranking, on the same draws of each language.

    codefusion table --config=configs/tables/rankings.py --workdir=runs/tables

The rankings are compared on at most 100 rows, evenly spaced.
"""

from codefusion import config

TABLE = "rankings"
NOTES = (
    "Execution agreement runs rules; Bash and Python are not run, so that there it is "
    "votes.",
)
NAMES = ("cf_rules", "nl2bash", "conala")
RANKINGS = {
    "none": "in the order of the draws",
    "log_prob": "by log-probability",
    "votes": "by votes",
    "agreement": "by execution agreement",
    "mbr": "by minimum Bayes risk",
    "covering": "as a set that covers the draws",
}


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    for name in NAMES:
        file = f"configs/{name}.py"
        add(name, file, title="as configured, all rows", beside="", seeds=(0,))
        for ranking, title in RANKINGS.items():
            changes = {"inference.ranking": {"name": ranking}}
            changes["evaluation.max_rows"] = 100
            add(f"{name}_{ranking}", of=name, title=title, beside="", changes=changes)
