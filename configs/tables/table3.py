"""Table 3: how many of the first candidates parse, of the runs of table 1.

codefusion table --config=configs/tables/table3.py --workdir=runs/tables
"""

from codefusion import config

TABLE = "table3"


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    add.runs_of("table1.py")
