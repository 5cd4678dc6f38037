"""Conditional-formatting rules without requests: CodeFusion's pre-training text.

226,468 lines, of which 3,498 are distinct; the authors released a part of their corpus.
"""

from codefusion.data.builders import prose

SOURCES = (
    prose.source(
        "Pretraining Data",
        "ConditionalFormattingSnippets.txt",
        "fc7626f78e1f88d3ffcb1746740e2305165ddf992e70f6bf6a625d8e223ecda6",
    ),
)


def read(files):
    """Returns the outcomes of the lines.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    return prose.lines(SOURCES[0], files)
