"""Folders on a local disk or in a bucket."""

import pathlib
import shutil

from etils import epath

from codefusion import files


def absolute(path) -> epath.Path:
    """Returns a path of a disk or a bucket as an absolute `epath.Path`."""
    if files.is_local(path):  # orbax wants absolute paths
        return epath.Path(pathlib.Path(path).absolute())
    return epath.Path(path)


def make_folder(folder):
    """Makes a folder and what is missing above it, durably; it may be there."""
    if not files.is_local(folder):
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        files.flush(folder.parent)


def walk(folder) -> tuple[list[str], list[str]]:
    """Returns the names of all files and of all folders within a folder, sorted.

    Args:
      folder: an `epath.Path` that exists.

    Returns:
      (files, folders), relative to the folder, with "/" between the parts.
    """
    names, folders = [], []
    for path in folder.iterdir():
        if path.is_dir():
            inner = walk(path)
            folders.append(path.name)
            names += [f"{path.name}/{name}" for name in inner[0]]
            folders += [f"{path.name}/{name}" for name in inner[1]]
        else:
            names.append(path.name)
    return sorted(names), sorted(folders)


def remove_tree(folder):
    """Removes a folder and all in it, as far as that is possible."""
    if files.is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.rmtree(missing_ok=True)


def free(folder) -> int | None:
    """Returns how many bytes can still be written; None where nobody knows."""
    if not files.is_local(folder):
        return None
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
