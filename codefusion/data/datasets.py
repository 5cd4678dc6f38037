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
from typing import ClassVar

from codefusion.data import splits
from codefusion.data.builders import prepare
from codefusion.data.custom import Custom
from codefusion.data.generated import Generated
from codefusion.data.splits import SPLITS

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
        splits.one_of("scheme", self.scheme, SCHEMES)
        splits.one_of("on_error", self.on_error, ON_ERROR)

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
        splits.one_of("split", split, SPLITS, section="evaluation")
        return self._in_split(prepare.load(self.name, self.data_dir), split)

    def _in_split(self, loaded, split):
        if self.scheme == "released":
            return [o for o in loaded if o.part == split]
        ids = tuple(o.id for o in loaded)
        chosen = splits.random_split(self.name, ids, self.split_seed)[split]
        return [o for o in loaded if o.id in chosen]

    def held_out_rows(self):
        """Returns 0: a benchmark has all rows of its files in one split or another."""
        return 0

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
        splits.one_of("column_argument", self.column_argument, ("keep", "drop"))

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
class Beside(Dataset):
    """Rows to train on beside a benchmark: all of them are the split "train".

    Attributes:
      scheme: that of the benchmark, and its `split_seed`: a set that holds rows of a
        benchmark leaves out those held out there.
    """

    def _in_split(self, loaded, split):
        return self._kept(loaded) if split == "train" else []

    def _kept(self, loaded):
        return list(loaded)

    def held_out_rows(self):
        """Returns how many rows are left out because a benchmark holds them out."""
        loaded = prepare.load(self.name, self.data_dir)
        return len(loaded) - len(self._kept(loaded))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs(Beside):
    """Pairs of a request and a program that are no benchmark.

    Attributes:
      benchmark: name of the benchmark that they are read beside, "" for none. A row
        whose request is one of its validation or test rows is left out; neither case
        nor the amount of white space tells two requests apart.
    """

    benchmark: str = ""

    def __post_init__(self):
        super().__post_init__()
        names = [n for n, d in DATASETS.items() if d.language == self.language]
        splits.one_of("benchmark", self.benchmark, ("", *names))

    def _kept(self, loaded):
        held_out = self._held_out_requests()
        return [o for o in loaded if _request(o) not in held_out]

    def _held_out_requests(self):
        if self.benchmark in ("", self.name):
            return frozenset()
        shared = ("scheme", "split_seed", "data_dir")
        arguments = {key: getattr(self, key) for key in shared}
        benchmark = DATASETS[self.benchmark](**arguments)
        outcomes = benchmark.outcomes("validation") + benchmark.outcomes("test")
        return frozenset(_request(o) for o in outcomes if o.example)


def _request(outcome):
    """Returns the request of a row as it is compared, None where it is refused."""
    if outcome.example is None:
        return None
    return " ".join(outcome.example.utterance.casefold().split())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tldr(Pairs):
    """Descriptions and Bash commands of the tldr pages."""

    name: ClassVar[str] = "tldr"
    language: ClassVar[str] = "bash"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PythonDocs(Pairs):
    """Sentences and Python from the documentation, Django and MBPP."""

    name: ClassVar[str] = "python_docs"
    language: ClassVar[str] = "python"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CfCorpus(Beside):
    """Conditional-formatting rules without requests, a line each."""

    name: ClassVar[str] = "cf_corpus"
    language: ClassVar[str] = "cf"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BashCorpus(Beside):
    """Bash snippets without requests, a line each."""

    name: ClassVar[str] = "bash_corpus"
    language: ClassVar[str] = "bash"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PythonCorpus(Beside):
    """Python without requests from four sources, among them `conala`."""

    name: ClassVar[str] = "python_corpus"
    language: ClassVar[str] = "python"

    def _kept(self, loaded):
        prefix = "conala-"
        rows_of_conala = [o for o in loaded if o.id.startswith(prefix)]
        others = [o for o in loaded if not o.id.startswith(prefix)]
        # The ids that `conala` gives the same rows, so that both draw the same split.
        ids = {o.id.removeprefix(prefix): o for o in rows_of_conala}
        if self.scheme == "released":
            kept = [i for i in ids if i.startswith("train-")]
        else:
            chosen = splits.random_split(Conala.name, tuple(ids), self.split_seed)
            kept = [i for i in ids if i in chosen["train"]]
        return others + [ids[i] for i in kept]


_PAIRS = (CfRules, Nl2Bash, Conala, Tldr, PythonDocs, Generated, Custom)
DATASETS = {d.name: d for d in _PAIRS}
CORPORA = {d.name: d for d in (CfCorpus, BashCorpus, PythonCorpus)}


def beside(dataset, name):
    """Returns another data set or corpus with what it shares with `dataset`.

    Lengths, folder, scheme and split seed carry over, so a row held out of one is held
    out of the other, and `Pairs` leave out the requests that `dataset` holds out. A
    data set beside itself is itself, with its own arguments.

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
    arguments = {key: getattr(dataset, key) for key in shared & own & given}
    if issubclass(table[name], Pairs):
        arguments["benchmark"] = _benchmark(table[name].language)
    return table[name](**arguments)


def _benchmark(language):
    """Returns the name of the benchmark of a language, str."""
    benchmarks = (CfRules, Nl2Bash, Conala)
    return next(each.name for each in benchmarks if each.language == language)


@functools.lru_cache(maxsize=16)
def _examples_hash(dataset):
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(f"\x1c{split}".encode())
        for example in dataset.examples(split):
            fields = (example.id, example.utterance, example.code, example.table)
            digest.update("\x1e".join(("", *fields)).encode())
    return digest.hexdigest()
