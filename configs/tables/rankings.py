"""Which draws are shown first: each ranking, on the same draws of each language.

codefusion table --config=configs/tables/rankings.py --workdir=runs/tables
"""

from codefusion import config

TABLE = "rankings"
SEEDS = {"cf_rules": (0, 1, 2), "nl2bash": (0,), "conala": (0,)}
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
    for name, seeds in SEEDS.items():
        file = f"configs/{name}.py"
        add(name, file, title="as configured", beside="", seeds=seeds)
        for ranking, title in RANKINGS.items():
            changes = {"inference.ranking": {"name": ranking}}
            add(f"{name}_{ranking}", of=name, title=title, beside="", changes=changes)
