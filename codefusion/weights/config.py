"""The config of this model, to train it again.

    codefusion train --config=config.py --workdir=runs/again
"""

import pathlib

from codefusion import config


def get_config():
    """Returns the config."""
    return config.from_json(pathlib.Path(__file__).with_name("config.json").read_text())
