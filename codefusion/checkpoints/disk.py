"""Files and folders on a local disk or in a bucket, made durable where that is ours.

A bucket shows an object whole or not at all and keeps what it acknowledged. On a disk
that takes a rename and `fsync`, of the file and of the folder that names it.
"""

import os
import pathlib
import shutil
import uuid

from etils import epath


def absolute(path) -> epath.Path:
    """Returns a path of a disk or a bucket as an absolute `epath.Path`."""
    if is_local(path):  # orbax wants absolute paths
        return epath.Path(pathlib.Path(path).absolute())
    return epath.Path(path)


def is_local(path) -> bool:
    """Returns whether a path is on a disk, not in a bucket such as gs://name."""
    return "://" not in os.fspath(path)


def make_folder(folder):
    """Makes a folder and what is missing above it, durably; it may be there."""
    if not is_local(folder):
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


def write_whole(path, data: bytes):
    """Writes a file that is whole and durable once it has its name.

    Args:
      path: of the file, an `epath.Path`; its folder exists.
      data: the content.
    """
    if not is_local(path):
        path.write_bytes(data)
        return
    # Unique, so that two hosts that share a folder do not write to one file.
    partial = path.parent / f"{path.name}.{uuid.uuid4().hex}.partial"
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    flush(path.parent)


def flush(path):
    """Makes a file's content or a folder's names durable."""
    if not is_local(path):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def walk(folder) -> tuple[list[str], list[str]]:
    """Returns the names of all files and of all folders within a folder, sorted.

    Args:
      folder: an `epath.Path` that exists.

    Returns:
      (files, folders), relative to the folder, with "/" between the parts.
    """
    files, folders = [], []
    for path in folder.iterdir():
        if path.is_dir():
            inner = walk(path)
            folders.append(path.name)
            files += [f"{path.name}/{name}" for name in inner[0]]
            folders += [f"{path.name}/{name}" for name in inner[1]]
        else:
            files.append(path.name)
    return sorted(files), sorted(folders)


def remove_tree(folder):
    """Removes a folder and all in it, as far as that is possible."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.rmtree(missing_ok=True)


def free(folder) -> int | None:
    """Returns how many bytes can still be written; None where nobody knows."""
    if not is_local(folder):
        return None
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
