"""The examples of the tldr pages as JSON lines, from an archive of their repository."""

import io
import json
import re
import tarfile
import zlib

_PAGE = re.compile(r"[^/]+/(pages/([^/]+)/[^/]+\.md)")


def to_jsonl(archive):
    """Returns every example of the English pages, sorted by path, as JSON lines.

    Args:
      archive: a gzipped tar file of the repository, bytes.

    Returns:
      Lines with `platform`, `page`, `nl` and `cmd`, bytes.
    """
    lines = [
        json.dumps(example, ensure_ascii=False) + "\n"
        for _, platform, text in sorted(_pages(archive))
        for example in _examples(platform, text)
    ]
    return "".join(lines).encode()


def _pages(archive):
    """Returns (path, platform, text) of each English page."""
    found = []
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
            for member in files:
                name = _PAGE.fullmatch(member.name)
                if name and member.isfile():
                    text = files.extractfile(member).read().decode()
                    found.append((name[1], name[2], text))
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(
            f"the archive of the tldr pages is truncated or damaged ({error}); "
            "fetch it again."
        ) from error
    return found


def _examples(platform, text):
    """Yields the examples of a page: `- description:`, then a line in backquotes."""
    page = described = None
    for line in text.split("\n"):
        if line.startswith("# "):
            page = line[2:].strip()
        elif line.startswith("- "):
            described = line[2:].strip().rstrip(":")
        elif described is not None and _is_code(line):
            code = line.rstrip()[1:-1]
            yield {"platform": platform, "page": page, "nl": described, "cmd": code}
            described = None


def _is_code(line):
    return line.startswith("`") and line.rstrip().endswith("`")
