"""Writes files that are whole or not there, and durable once they are.

A bucket shows an object whole or not at all and keeps what it acknowledged. On a disk
that takes a rename and `fsync`, of the file and of the folder that names it.
"""

import os
import uuid


def is_local(path) -> bool:
    """Returns whether a path is on a disk, not in a bucket such as gs://name."""
    return "://" not in os.fspath(path)


def write_whole(path, data):
    """Writes a file so that no reader and no second writer ever sees a part of it.

    An older file stays until the new one is whole; if the writing fails it stays.

    Args:
      path: of the file, str or path, in a bucket an `epath.Path`; its folder is made.
      data: the content, bytes; a str is written as UTF-8.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    if not is_local(path):
        path.write_bytes(content)
        return
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    # Unique even among threads, and among machines that share a folder.
    partial = f"{path}.{uuid.uuid4().hex}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    flush(folder)


def flush(path):
    """Makes a file's content or a folder's names durable."""
    if not is_local(path):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
