"""The folder `hosts` of a work directory: on a shared disk, or in a bucket."""

import os
import pathlib
import time

from codefusion import files
from codefusion.hosts.roster import Roster, RosterError

_SIGHT_SECONDS = 30.0  # network disks show a new file late
_RUN = "run"


def is_bucket(workdir: str | os.PathLike) -> bool:
    """Returns whether a work directory is in a bucket, such as gs://name/run."""
    return "://" in os.fspath(workdir)


def path(workdir: str | os.PathLike, name: str):
    """Returns the path of a file in the folder; an `epath.Path` for a bucket."""
    if is_bucket(workdir):
        from etils import epath

        return epath.Path(workdir) / "hosts" / name
    return pathlib.Path(workdir) / "hosts" / name


def write(workdir: str | os.PathLike, name: str, text: str):
    """Writes a file of the folder so that no reader sees a part of it.

    Args:
      workdir: the work directory; its folder is made.
      name: of the file.
      text: the content.
    """
    if is_bucket(workdir):  # whose objects appear whole
        path(workdir, name).write_text(text)
    else:
        files.write_whole(path(workdir, name), text)


def check_shared(workdir: str | os.PathLike, roster: Roster | None):
    """Raises RosterError where a host does not see what host 0 writes.

    All hosts of a run write their parts of one checkpoint. Each on a disk of its own
    would train to the first save and then fail, or worse, find other checkpoints.

    Args:
      workdir: the work directory.
      roster: the hosts of the run; None for a single process.
    """
    if roster is None:
        return
    cluster = roster.cluster
    if cluster.index == 0:
        write(workdir, _RUN, roster.run)
        return
    deadline = time.monotonic() + _SIGHT_SECONDS
    while _read(workdir) != roster.run:
        if time.monotonic() >= deadline:
            raise RosterError(
                f"Host {cluster.describe(cluster.index)} does not see in "
                f"{os.fspath(workdir)} what host {cluster.describe(0)} wrote there; "
                "expected --workdir in a folder that all hosts share."
            )
        time.sleep(0.5)


def _read(workdir):
    place = path(workdir, _RUN)
    try:
        # Listing makes a network disk look anew.
        list(place.parent.iterdir())
        return place.read_text()
    except OSError:
        return None
