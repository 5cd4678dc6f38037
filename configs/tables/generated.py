"""Held-out rules of our own grammar: the quickstart and the model in the package.

    codefusion table --config=configs/tables/generated.py --workdir=runs/tables

A run of the quickstart takes five minutes on two CPU cores.
"""

from codefusion import config

TABLE = "generated"
NOTES = (
    "The quickstart's scores have no parameters and minutes; the times of its runs "
    "are in experiments/recipe.jsonl.",
)


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
    _add_shipped(add, "shipped", "", "the model in the package")
    title = "autoregressive, as the package's"
    _add_shipped(add, "shipped_autoregressive", ":autoregressive", title)


def _add_shipped(add, name, form, title):
    changes = {"evaluation.dataset": "generated"}
    add(name, f"configs/shipped.py{form}", title=title, beside="")
    add(f"{name}_generated", of=name, title=title, beside="", changes=changes)
