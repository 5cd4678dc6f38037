"""Held-out rules of our own grammar: the quickstart and the model in the package.

    codefusion table --config=configs/tables/generated.py --workdir=runs/tables

A run of the quickstart takes five minutes on two CPU cores.
"""

from codefusion import config

TABLE = "generated"


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    add(
        "quickstart",
        "configs/quickstart.py",
        title="quickstart",
        beside="",
        seeds=(0, 1, 2),
    )
    title = "the model in the package"
    add("shipped", "configs/shipped.py", title=title, beside="")
    changes = {"evaluation.dataset": "generated"}
    add("shipped_generated", of="shipped", title=title, beside="", changes=changes)
