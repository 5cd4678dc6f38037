"""Table 2: how the first five candidates differ, of the runs of table 1.

    codefusion table --config=configs/tables/table2.py --workdir=runs/tables

A line for each language; the paper's figures are of all three.
"""

from codefusion import config

TABLE = "table2"


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    add.runs_of("table1.py")
