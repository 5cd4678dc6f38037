"""English requests and Python snippets: CoNaLa 1.1 with its own split.

Requests are the rewritten intents. 79 train and 23 test rows have none; these take the
original intent from the CoNaLa files, which agree with the benchmark row for row. Text
and code come from Stack Overflow (Yin et al., MSR 2018), CC BY-SA 4.0.
"""

from codefusion.data import readers, rows
from codefusion.data.builders import prose, sources

TRAIN = sources.github(
    "zorazrw/multilingual-conala",
    "b48112fe492432507d72004aafb6f0c399308333",
    "dataset/train/train.json",
    path="conala/conala-train.json",
    sha256="790c9d444744717ef88b8b64422b26dafa1bd35af32ff12bdc53ef3cab9aff09",
)
TEST = sources.github(
    "shilliscmu/TranxConalaBaseline",
    "5520285387d946e826f4cc5a4a0a1bf7361355e5",
    "conala-test.json",
    path="conala/conala-test.json",
    sha256="b3f96344efa3bb819e2fe66cfd68be289ca4e4d37f5af19c32cf4ae211e8077e",
)
BENCHMARK = prose.source(
    "Benchmarks",
    "PythonBenchmarks.json",
    "f7d4a769df79e5c60be041dd44619075e1b8aaed233a64007a754ab0d2ae464c",
)
SOURCES = (BENCHMARK, TRAIN, TEST)


def read(files):
    """Returns the outcomes of the rows.

    Args:
      files: path of each of `SOURCES` -> its content.
    """
    originals = {
        part: list(readers.read_json(files[source.path], file=source.path))
        for part, source in (("train", TRAIN), ("test", TEST))
    }
    data = files[BENCHMARK.path]
    records = readers.read_json(data, file="PythonBenchmarks.json")
    return rows.outcomes(records, lambda record, id: _example(record, id, originals))


def _example(record, id, originals):
    utterance = record.text("NL Utterance", nullable=True)
    code = record.text("Code")
    if utterance is not None:
        return rows.strip_newlines(rows.Example(id, utterance, code))
    utterance = _intent(record, originals.get(record.part, []))
    example, repairs = rows.strip_newlines(rows.Example(id, utterance, code))
    return example, ["null utterance replaced by the original intent", *repairs]


def _intent(record, originals):
    """Returns the original intent of a row whose rewritten one is null."""
    original = originals[record.index] if record.index < len(originals) else None
    same = original is not None and original.text("snippet") == record.text("Code")
    if not same:
        reason = "the text is null, and the CoNaLa file has no such row to take it from"
        raise rows.BadRow(record.error("NL Utterance", reason))
    return original.text("intent")
