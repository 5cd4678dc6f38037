"""The data sets by name: what a config's `data` section and its corpora build.

    dataset = DATASETS["nl2bash"](scheme="random", source_length=48)
    dataset.examples("train")

A data set is a frozen dataclass; its fields are the keys of the section. It reads its
files when first asked for examples, and never imports what prepares them before that.
"""

import collections
import dataclasses
import functools
import hashlib
import re
from collections.abc import Sequence
from typing import ClassVar

from codefusion.data import rows
from codefusion.data.builders import prepare

SPLITS = ("train", "validation", "test")
SCHEMES = ("random", "released")
ON_ERROR = ("quarantine", "raise")
_COLUMN = re.compile(r"(?<!LEN)\(\s*c\[\d+\]\s*,?\s*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A benchmark: pairs of a request and a program, in three splits.

    Attributes:
      source_length: tokens of a request, its end included.
      target_length: tokens of a program, its end included.
      scheme: "random" (seeded, 80/10/10 of all rows) or "released" (the authors' train
        and test; its validation split is empty).
      split_seed: seed of the random scheme.
      on_error: "quarantine" sets rows with errors aside and counts them, "raise" stops
        at the first.
      data_dir: folder of the data files; None takes `CODEFUSION_DATA` from the
        environment, else downloads.
    """

    source_length: int = 64
    target_length: int = 64
    scheme: str = "random"
    split_seed: int = 0
    on_error: str = "quarantine"
    data_dir: str | None = None

    name: ClassVar[str]
    language: ClassVar[str]

    def __post_init__(self):
        _one_of("scheme", self.scheme, SCHEMES)
        _one_of("on_error", self.on_error, ON_ERROR)

    def examples(self, split):
        """Returns the examples of a split, in file order.

        Args:
          split: "train", "validation" or "test".

        Returns:
          A sequence of `Example`s.
        """
        outcomes = self.outcomes(split)
        errors = [o.error for o in outcomes if o.error]
        if errors and self.on_error == "raise":
            raise ValueError(
                f"{self.name}: {len(errors)} rows of {split} cannot be used, the first "
                f"{errors[0]}. Mend the file, or set data.on_error to 'quarantine'."
            )
        return [self._adapt(o.example) for o in outcomes if o.example]

    def quarantined(self, split):
        """Returns the `RowError`s of the rows of a split that were set aside."""
        return [o.error for o in self.outcomes(split) if o.error]

    def outcomes(self, split):
        """Returns what became of every row of a split, in file order.

        Args:
          split: "train", "validation" or "test".

        Returns:
          A list of `Outcome`s, of refused rows too.
        """
        _one_of("split", split, SPLITS, section="evaluation")
        return self._in_split(prepare.load(self.name, self.data_dir), split)

    def _in_split(self, loaded, split):
        if self.scheme == "released":
            return [o for o in loaded if o.part == split]
        ids = tuple(o.id for o in loaded)
        chosen = _random_split(self.name, ids, self.split_seed)[split]
        return [o for o in loaded if o.id in chosen]

    def file_counts(self):
        """Returns part of the files ("train", "test") -> rows there, refused ones too.

        These are the same whatever the scheme.
        """
        loaded = prepare.load(self.name, self.data_dir)
        return dict(collections.Counter(o.part for o in loaded))

    @property
    def content_hash(self):
        """SHA-256 of every example of every split, hex."""
        return _examples_hash(self)

    def sources(self):
        """Returns the `Source`s of the files that the data set is made of."""
        return prepare.module(self.name).SOURCES

    def _adapt(self, example):
        return example


@dataclasses.dataclass(frozen=True, kw_only=True)
class CfRules(Dataset):
    """Requests, tables and conditional-formatting rules.

    Attributes:
      column_argument: "keep", or "drop" to write `GreaterThan(c[1], 5)`, a form of the
        released test rows alone, as `GreaterThan(5)`. Dropped, a rule that compares two
        columns (`AND(Equals(c[1], 1), Equals(c[2], 1))`) no longer tells them apart.
    """

    column_argument: str = "keep"

    name: ClassVar[str] = "cf_rules"
    language: ClassVar[str] = "cf"

    def __post_init__(self):
        super().__post_init__()
        _one_of("column_argument", self.column_argument, ("keep", "drop"))

    def _adapt(self, example):
        if self.column_argument == "keep":
            return example
        return dataclasses.replace(example, code=_COLUMN.sub("(", example.code))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nl2Bash(Dataset):
    """Requests and Bash commands."""

    name: ClassVar[str] = "nl2bash"
    language: ClassVar[str] = "bash"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conala(Dataset):
    """Requests and Python snippets."""

    name: ClassVar[str] = "conala"
    language: ClassVar[str] = "python"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus(Dataset):
    """Code without requests, for pre-training: all of it is the split "train".

    Attributes:
      scheme: that of the benchmark which is trained on next, and its `split_seed`: a
        corpus that holds rows of a benchmark leaves out those held out there.
    """

    def _in_split(self, loaded, split):
        return list(loaded) if split == "train" else []


@dataclasses.dataclass(frozen=True, kw_only=True)
class CfCorpus(Corpus):
    """Conditional-formatting rules, a line each."""

    name: ClassVar[str] = "cf_corpus"
    language: ClassVar[str] = "cf"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BashCorpus(Corpus):
    """Bash snippets, a line each."""

    name: ClassVar[str] = "bash_corpus"
    language: ClassVar[str] = "bash"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PythonCorpus(Corpus):
    """Python snippets and lines from four sources, among them `conala`."""

    name: ClassVar[str] = "python_corpus"
    language: ClassVar[str] = "python"

    def _in_split(self, loaded, split):
        if split != "train":
            return []
        prefix = "conala-"
        rows_of_conala = [o for o in loaded if o.id.startswith(prefix)]
        others = [o for o in loaded if not o.id.startswith(prefix)]
        # The ids that `conala` gives the same rows, so that both draw the same split.
        ids = {o.id.removeprefix(prefix): o for o in rows_of_conala}
        if self.scheme == "released":
            kept = [i for i in ids if i.startswith("train-")]
        else:
            chosen = _random_split(Conala.name, tuple(ids), self.split_seed)["train"]
            kept = [i for i in ids if i in chosen]
        return others + [ids[i] for i in kept]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """Requests, tables and rules from our own grammar: no file and no network.

    Attributes:
      source_length: tokens of a request, its end included.
      target_length: tokens of a program, its end included.
      size: examples in the train split.
      held_out_size: examples in each of the validation and test splits.
      seed: names the data set; every seed draws other examples.
      column_argument: whether rules name their column, `GreaterThan(c[1], 25)`.
    """

    source_length: int = 64
    target_length: int = 64
    size: int = 50_000
    held_out_size: int = 1_000
    seed: int = 0
    column_argument: bool = False

    name: ClassVar[str] = "generated"
    language: ClassVar[str] = "cf"
    scheme: ClassVar[str] = "generated"

    def __post_init__(self):
        for key in ("size", "held_out_size"):
            if getattr(self, key) < 1:
                value = getattr(self, key)
                raise ValueError(f"data.{key} is {value}; expected 1 or more.")

    def examples(self, split):
        """Returns the examples of a split; each is made when it is asked for.

        Args:
          split: "train", "validation" or "test".

        Returns:
          A sequence of `Example`s with random access.
        """
        _one_of("split", split, SPLITS, section="evaluation")
        size = self.size if split == "train" else self.held_out_size
        return GeneratedExamples(self.seed, split, size, self.column_argument)

    def outcomes(self, split):
        """Returns an `Outcome` for every example; none is ever refused."""
        return [rows.Outcome(e.id, split, e) for e in self.examples(split)]

    def quarantined(self, split):
        """Returns no error: the grammar makes no bad row."""
        _one_of("split", split, SPLITS, section="evaluation")
        return []

    @property
    def content_hash(self):
        """SHA-256 of the grammar's source and of the fields that choose from it."""
        digest = hashlib.sha256(prepare.source_code("generated"))
        for key in ("seed", "size", "held_out_size", "column_argument"):
            digest.update(f"{key}={getattr(self, key)}\n".encode())
        return digest.hexdigest()

    def file_counts(self):
        """Returns an empty dict: there is no file."""
        return {}

    def sources(self):
        """Returns no file."""
        return ()


@dataclasses.dataclass(frozen=True)
class GeneratedExamples(Sequence):
    """A split of `Generated`: example i is a function of the seed, the split and i.

    Attributes:
      seed: of the data set.
      split: "train", "validation" or "test".
      size: number of examples.
      column_argument: whether rules name their column.
    """

    seed: int
    split: str
    size: int
    column_argument: bool = False

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.size))]
        if not -self.size <= index < self.size:
            raise IndexError(f"index {index} of {self.size} examples")
        generate = prepare.module("generated").generate
        return generate(
            self.seed,
            index % self.size,
            self.split,
            column_argument=self.column_argument,
        )


DATASETS = {d.name: d for d in (CfRules, Nl2Bash, Conala, Generated)}
CORPORA = {d.name: d for d in (CfCorpus, BashCorpus, PythonCorpus)}


def beside(dataset, name):
    """Returns another data set or corpus with what it shares with `dataset`.

    Lengths, folder, scheme and split seed carry over, so a row held out of one is held
    out of the other. A data set beside itself is itself, with its own arguments.

    Args:
      dataset: an entry of `DATASETS`, built.
      name: key of `DATASETS` or `CORPORA`.
    """
    table = {**DATASETS, **CORPORA}
    if name not in table:
        raise ValueError(f"{name!r} is no data set; expected one of {sorted(table)}.")
    if name == dataset.name:
        return dataset
    shared = {"source_length", "target_length", "scheme", "split_seed"}
    shared |= {"on_error", "data_dir"}
    own = {field.name for field in dataclasses.fields(table[name])}
    given = {field.name for field in dataclasses.fields(dataset)}
    return table[name](**{key: getattr(dataset, key) for key in shared & own & given})


def _one_of(key, value, choices, *, section="data"):
    if value not in choices:
        raise ValueError(f"{section}.{key} is {value!r}; expected one of {choices}.")


@functools.lru_cache(maxsize=16)
def _random_split(name, ids, seed):
    """Returns split -> set of row ids: 80/10/10 of the rows in an order drawn by hash.

    Refused rows take part, so that mending a row moves no other. The order is that of
    a hash, not of a generator, so it is the same under every Python and numpy.
    """
    ordered = sorted(
        ids, key=lambda i: hashlib.sha256(f"{name}/{seed}/{i}".encode()).digest()
    )
    test = len(ids) // 10
    return {
        "test": frozenset(ordered[:test]),
        "validation": frozenset(ordered[test : 2 * test]),
        "train": frozenset(ordered[2 * test :]),
    }


@functools.lru_cache(maxsize=16)
def _examples_hash(dataset):
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(f"\x1c{split}".encode())
        for example in dataset.examples(split):
            fields = (example.id, example.utterance, example.code, example.table)
            digest.update("\x1e".join(("", *fields)).encode())
    return digest.hexdigest()
