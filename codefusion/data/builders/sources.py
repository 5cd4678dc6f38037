"""Where the files of a data set come from: a folder, or the pinned upstream commit.

Each file is named by the SHA-256 of its uncompressed content, so the gzipped file of a
folder and the plain file of a download pass the same check. Nothing is read unchecked.
"""

import dataclasses
import hashlib
import http.client
import os
import pathlib
import urllib.parse
import urllib.request
from collections.abc import Callable

from codefusion import files
from codefusion.data import readers

_TIMEOUT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Source:
    """One file of a data set.

    Attributes:
      path: the file in a data folder; `path` + ".gz" is accepted too.
      url: where to download it.
      sha256: of the uncompressed content, hex.
      unix_newlines: the pinned content is upstream's with LF for CRLF and at the end.
      convert: makes the pinned content from what is downloaded, bytes -> bytes; None
        where that is the content.
    """

    path: str
    url: str
    sha256: str
    unix_newlines: bool = False
    convert: Callable[[bytes], bytes] | None = None


def github(repository, commit, upstream_path, *, path, sha256, unix_newlines=False):
    """Returns the `Source` of a file at a commit of a public GitHub repository.

    Args:
      repository: "owner/name".
      commit: 40 hex digits.
      upstream_path: the file in the repository.
      path: the file in a data folder.
      sha256: of the uncompressed content, hex.
      unix_newlines: the pinned content is upstream's with LF for CRLF and at the end.
    """
    place = urllib.parse.quote(upstream_path)
    url = f"https://raw.githubusercontent.com/{repository}/{commit}/{place}"
    return Source(path, url, sha256, unix_newlines)


def github_archive(repository, commit, *, path, sha256, convert):
    """Returns the `Source` of a file that is made from a whole repository at a commit.

    Args:
      repository: "owner/name".
      commit: 40 hex digits.
      path: the file in a data folder.
      sha256: of the uncompressed content, hex.
      convert: makes the content from the repository's gzipped tar, bytes -> bytes.
    """
    url = f"https://github.com/{repository}/archive/{commit}.tar.gz"
    return Source(path, url, sha256, convert=convert)


def cache_dir():
    """Returns the folder of downloads and prepared arrays (`CODEFUSION_CACHE`)."""
    default = "~/.cache/codefusion"
    return pathlib.Path(os.environ.get("CODEFUSION_CACHE") or default).expanduser()


def data_folder(data_dir=None):
    """Returns the folder that holds the files, None where they are to be downloaded.

    Args:
      data_dir: the folder; None takes `CODEFUSION_DATA` from the environment.
    """
    folder = data_dir or os.environ.get("CODEFUSION_DATA")
    if not folder:
        return None
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"The data folder {str(folder)!r} does not exist; set data.data_dir or "
            "CODEFUSION_DATA to a folder that holds the data files, or unset both "
            "to download them."
        )
    return folder


def read(source, folder=None):
    """Returns the checked content of one file.

    Args:
      source: a `Source`.
      folder: the data folder, None to take it from the download cache or the network.

    Returns:
      The uncompressed bytes.
    """
    if folder is not None:
        return _read_from(source, folder)
    cached = cache_dir() / "downloads" / source.sha256
    if not cached.exists():
        _keep(cached, _download(source))
    return _check(source, cached.read_bytes(), where=str(cached))


def cache_error(error):
    """Returns the ValueError for a cache that cannot be written."""
    return ValueError(
        f"The cache {str(cache_dir())!r} cannot be written ({error.strerror or error});"
        " set CODEFUSION_CACHE to a folder with write access and free space."
    )


def _keep(path, data):
    try:
        files.write_whole(path, data)
    except OSError as error:
        raise cache_error(error) from error


def _read_from(source, folder):
    for path in (folder / source.path, folder / f"{source.path}.gz"):
        if path.is_file():
            data = readers.unzip(path.read_bytes(), file=str(path))
            return _check(source, data, where=str(path))
    raise ValueError(
        f"{source.path}(.gz) is not in the data folder {str(folder)!r}; set "
        "data.data_dir or CODEFUSION_DATA to a folder that holds it, or unset both to "
        f"download it from {source.url}"
    )


def _download(source):
    try:
        with urllib.request.urlopen(source.url, timeout=_TIMEOUT_SECONDS) as reply:
            data = reply.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ValueError(
            f"{source.path} is not here and could not be downloaded ({reason}). Set "
            "CODEFUSION_DATA (or data.data_dir) to a folder that holds "
            f"{source.path}(.gz), or connect to a network that reaches {source.url}"
        ) from None
    if source.convert is not None:
        data = source.convert(data)
    if source.unix_newlines:
        data = data.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
    return _check(source, data, where=source.url)


def _check(source, data, *, where):
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        raise ValueError(
            f"{where}: the content has SHA-256 {found}; expected {source.sha256}. The "
            "file is altered or of another version: replace it by the pinned one "
            f"({source.url})"
        )
    return data
