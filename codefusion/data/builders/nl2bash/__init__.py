"""English requests and Bash commands: NL2Bash with the split of CodeFusion's authors.

The split is by position in a file sorted by request: test holds only requests from
"delete w..." on, and 747 of its 2,522 commands are also in train. Rows are NL2Bash
(Lin et al., LREC 2018), MIT license.
"""

from codefusion.data import readers, rows
from codefusion.data.builders import prose

SOURCES = (
    prose.source(
        "Benchmarks",
        "BashBenchmarks.json",
        "fda320d1c2cbfa6a8e7033c1b51af4aeebdee2aad0b92cdeba06f51edace9857",
    ),
)


def read(files):
    """Returns the outcomes of the rows.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    data = files[SOURCES[0].path]
    records = readers.read_json(data, file="BashBenchmarks.json")
    return rows.outcomes(records, prose.pair)
