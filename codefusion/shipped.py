"""The trained model that is in the package, an export of `configs/shipped.py`."""

import os
import pathlib

FOLDER = pathlib.Path(__file__).parent / "weights"


def is_shipped(workdir):
    """Returns whether a work directory is the model of the package, bool."""
    return pathlib.Path(workdir).absolute() == FOLDER


def writable(workdir):
    """Returns where files beside a work directory go: for the package's, a cache.

    Args:
      workdir: a folder, str or path.
    """
    if not is_shipped(workdir):
        return workdir
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home, "codefusion")
