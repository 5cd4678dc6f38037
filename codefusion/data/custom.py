"""A data set of one's own: a JSONL file with a request and a program on each line.

{"utterance": "go north twice", "code": "move(N, 2)"}
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from typing import ClassVar

from codefusion.data import readers, rows, splits
from codefusion.data.builders import sources

_LEAST_ROWS = 10  # of which one is for validation and one for the test
_KEPT = "data.train"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Custom:
    """Pairs from a file of the user's: a tenth for validation, a tenth for the test.

    The split is drawn by a hash of the row's place in the file and `split_seed`. The
    file is read when examples are first asked for, so a trained model needs none.

    Attributes:
      train: path of the JSONL file, perhaps gzip-compressed.
      sha256: of its uncompressed content, hex; another file is refused. "" takes any,
        and a run sets it, because other rows would move between its splits.
      language: of the programs. "python", "bash" and "cf" are checked for validity;
        any other name is only a name.
      utterance_field, code_field: where a row has its request and its program.
      source_length: tokens of a request, its end included.
      target_length: tokens of a program, its end included.
      split_seed: seed of the split.
      on_error: "raise" stops at the first row with an error, "quarantine" sets such
        rows aside and counts them.
    """

    train: str = ""
    sha256: str = ""
    language: str = "text"
    utterance_field: str = "utterance"
    code_field: str = "code"
    source_length: int = 64
    target_length: int = 64
    split_seed: int = 0
    on_error: str = "raise"

    name: ClassVar[str] = "custom"
    scheme: ClassVar[str] = "random"

    def __post_init__(self):
        splits.one_of("on_error", self.on_error, ("raise", "quarantine"))
        if not self.language:
            raise ValueError("data.language is ''; expected a name, such as 'text'.")

    def examples(self, split):
        """Returns the examples of a split in file order, list of `Example`.

        Args:
          split: "train", "validation" or "test".
        """
        return [o.example for o in self.outcomes(split) if o.example]

    def outcomes(self, split):
        """Returns what became of every row of a split, list of `Outcome`.

        Args:
          split: "train", "validation" or "test".
        """
        splits.one_of("split", split, splits.SPLITS, section="evaluation")
        loaded = self._load()
        ids = tuple(o.id for o in loaded)
        chosen = splits.random_split(self.name, ids, self.split_seed)[split]
        return [o for o in loaded if o.id in chosen]

    def quarantined(self, split):
        """Returns the `RowError`s of the rows of a split that were set aside."""
        return [o.error for o in self.outcomes(split) if o.error]

    def held_out_rows(self):
        """Returns 0: every row is in one split or another."""
        return 0

    def file_counts(self):
        """Returns {"train": rows of the file}, those set aside included."""
        return {"train": len(self._load())}

    @functools.cached_property
    def content_hash(self):
        """SHA-256 of every example of every split, hex."""
        digest = hashlib.sha256()
        for split in splits.SPLITS:
            digest.update(f"\x1c{split}".encode())
            for e in self.examples(split):
                digest.update("\x1e".join(("", e.id, e.utterance, e.code)).encode())
        return digest.hexdigest()

    def sources(self):
        """Returns the file as a `Source` without an address, in a tuple."""
        return (sources.Source(self.train, "", self.file_hash),)

    @property
    def file_hash(self):
        """SHA-256 of the uncompressed content of the file, hex."""
        return _read(*_version(self.train))[1]

    def _load(self):
        """Returns the `Outcome`s of all rows of the file, checked."""
        version = _version(self.train)
        found = _read(*version)[1]
        if self.sha256 not in ("", found):
            raise ValueError(
                f"{self.train}: the content has SHA-256 {found[:12]}, but data.sha256 "
                f"is {self.sha256[:12]}, the file that the run was trained on, and the "
                f"splits of another are not its splits; give that file ({_KEPT}), or "
                "train in another --workdir."
            )
        loaded = _outcomes(*version, self.utterance_field, self.code_field)
        _check_rows(loaded, self.train, self.on_error)
        return loaded


def _version(file):
    """Returns (path, size, time of change): equal for equal content of a file."""
    if not file:
        raise ValueError(
            f"{_KEPT} is ''; expected a JSONL file of pairs: "
            "--config.data.train=pairs.jsonl."
        )
    path = pathlib.Path(file).expanduser()
    if not path.is_file():
        raise ValueError(
            f"{_KEPT} is {file!r}, which is not a file; expected a JSONL file of "
            "pairs. If it has moved, name its new place."
        )
    facts = os.stat(path)
    return file, facts.st_size, facts.st_mtime_ns


@functools.lru_cache(maxsize=4)
def _read(file, size, changed):
    """Returns (content, its SHA-256) of a file of a size, changed at a time."""
    del size, changed
    data = pathlib.Path(file).expanduser().read_bytes()
    data = readers.unzip(data, file=file)
    return data, hashlib.sha256(data).hexdigest()


@functools.lru_cache(maxsize=4)
def _outcomes(file, size, changed, utterance_field, code_field):
    def pair(record, id):
        utterance, code = record.text(utterance_field), record.text(code_field)
        return rows.strip_newlines(rows.Example(id, utterance, code))

    data, _ = _read(file, size, changed)
    records = readers.read_jsonl(data, file=file)
    return tuple(rows.outcomes(records, pair, part="train"))


def _check_rows(loaded, file, on_error):
    """Raises ValueError where a row, or the file as a whole, cannot be used."""
    errors = [o.error for o in loaded if o.error]
    if errors and on_error == "raise":
        more = f" ({len(errors)} such rows)" if len(errors) > 1 else ""
        raise ValueError(
            f"{errors[0]}{more}. Mend the file, or set such rows aside: "
            "--config.data.on_error=quarantine."
        )
    usable = len(loaded) - len(errors)
    if usable < _LEAST_ROWS:
        raise ValueError(
            f"{file} has {usable} rows that can be used; expected at least "
            f"{_LEAST_ROWS}, as a tenth is set aside for validation and one for the "
            "test."
        )
