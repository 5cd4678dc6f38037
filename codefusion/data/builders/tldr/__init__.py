"""English descriptions and Bash commands, to train on beside a benchmark: tldr-pages.

Copyright the tldr-pages team and contributors, https://github.com/tldr-pages/tldr; CC
BY 4.0, which asks for this attribution; changed here as `markup.py` says. Pages of
Linux, macOS and all platforms ("common"); those of others are not read. Set aside are
commands that do not parse as Bash, among them keys to press, and those for a program's
own prompt.
"""

from codefusion.data import readers, rows, syntax
from codefusion.data.builders import sources
from codefusion.data.builders.tldr import markup, pages

_PLATFORMS = ("common", "linux", "osx")

SOURCES = (
    sources.github_archive(
        "tldr-pages/tldr",
        "08e345f42639f67d99282813247ac670dc6e87cb",
        path="tldr/tldr-en-examples.jsonl",
        sha256="f6ddb11a9f116f9474566476f39d67239f437142c1e53bb6221ddc12247335d8",
        convert=pages.to_jsonl,
    ),
)


def read(files):
    """Returns the outcomes of the rows of the platforms whose shell is Bash.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    (source,) = SOURCES
    records = readers.read_jsonl(files[source.path], file=source.path)
    chosen = (record for record in records if not _is_elsewhere(record))
    return rows.outcomes(chosen, _example, part="train")


def _is_elsewhere(record):
    platform = record.value.get("platform") if isinstance(record.value, dict) else None
    return isinstance(platform, str) and platform not in _PLATFORMS


def _example(record, id):
    record.text("platform")
    text, marked = record.text("nl"), record.text("cmd")
    if markup.is_typed_inside(text, marked):
        reason = "keys to press, or words for a program's own prompt"
        raise rows.BadRow(record.error("cmd", reason))
    utterance, repairs = markup.description(text)
    code, more, fault = markup.command(marked)
    if not fault and not syntax.is_valid(code, "bash"):
        fault = "does not parse as Bash"
    if fault:
        raise rows.BadRow(record.error("cmd", fault))
    return rows.Example(id, utterance, code), [*repairs, *more]
