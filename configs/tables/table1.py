"""Table 1: top-1, top-3 and top-5 on Bash, Python and conditional-formatting rules.

    codefusion table --config=configs/tables/table1.py --workdir=runs/table1

Trains and evaluates each row that lacks scores. `--notrain` renders what is there.
"""

from codefusion import config

TABLE = "table1"


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    for name in ("cf_rules", "nl2bash", "conala"):
        file = f"configs/{name}.py"
        add(f"{name}_random", file=file, title="codefusion, random split")
        add(
            f"{name}_released",
            file=f"{file}:released",
            title="codefusion, released split",
        )
