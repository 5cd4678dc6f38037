"""Bash snippets without requests: CodeFusion's pre-training text.

88,512 lines, of which 61,950 are distinct; snippets are cut at line ends.
"""

from codefusion.data.builders import prose

SOURCES = (
    prose.source(
        "Pretraining Data",
        "BashSnippets.txt",
        "66e5f31338f2049e9223500f71cd8fea338da29aee64646710680c77c221e0d4",
    ),
)


def read(files):
    """Returns the outcomes of the lines.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    return prose.lines(SOURCES[0], files)
