"""Table 3: how many of the first candidates parse, of the runs of table 1.

codefusion table --config=configs/tables/table3.py --workdir=runs/tables
"""

from codefusion import config

TABLE = "table3"
NOTES = (
    "The first candidate is one of several draws, those that parse before those that "
    "do not (inference.prefer_valid); decoding greedily leaves no choice.",
)


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    add.runs_of("table1.py")
