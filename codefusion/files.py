"""Writes files that are whole or not there."""

import os
import uuid


def write_whole(path, data):
    """Writes a file so that no reader and no second writer ever sees a part of it.

    An older file stays until the new one is whole; if the writing fails it stays.

    Args:
      path: of the file, str or path; its folder is made.
      data: the content, bytes; a str is written as UTF-8.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    path = os.fspath(path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    # Unique even among threads, and among machines that share a folder.
    partial = f"{path}.{uuid.uuid4().hex}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
