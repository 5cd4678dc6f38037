"""What is trained on beside a benchmark holds none of its held-out requests."""

import pytest

from codefusion.data import datasets, rows
from codefusion.data.builders import prepare
from codefusion.data.datasets import CORPORA, DATASETS


def outcome(id, utterance, code="ls"):
    part = id.split("-")[0]
    return rows.Outcome(id, part, rows.Example(id, utterance, code))


BENCHMARK = [
    outcome("test-000000", "List  All\tfiles"),
    outcome("train-000000", "Print a date"),
    *(outcome(f"train-{n:06d}", f"request {n}") for n in range(1, 30)),
]
SUPPLEMENT = [
    outcome("train-000000", "list all files"),
    outcome("train-000001", " LIST all files "),
    outcome("train-000002", "print a date"),
    outcome("train-000003", "list all"),
    rows.Outcome("train-000004", "train", None, rows.RowError("f", 9, "cmd", "bad")),
]


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """Has `nl2bash` and `tldr` hold the rows above, and nothing else be there."""
    loaded = {"nl2bash": tuple(BENCHMARK), "tldr": tuple(SUPPLEMENT)}
    monkeypatch.setattr(prepare, "load", lambda name, data_dir: loaded[name])


def ids(dataset):
    return [example.id[-1] for example in dataset.examples("train")]


def test_alone_every_row_is_for_training():
    alone = DATASETS["tldr"]()
    assert ids(alone) == ["0", "1", "2", "3"]
    assert [str(e) for e in alone.quarantined("train")] == ["f:9: cmd: bad"]
    for split in ("validation", "test"):
        assert alone.outcomes(split) == []
    assert alone.held_out_rows() == 0


def test_requests_of_held_out_rows_are_left_out_and_counted():
    released = DATASETS["nl2bash"](scheme="released")
    pairs = datasets.beside(released, "tldr")
    assert (pairs.benchmark, pairs.scheme) == ("nl2bash", "released")
    assert ids(pairs) == ["2", "3"]
    assert pairs.held_out_rows() == 2
    assert len(pairs.quarantined("train")) == 1


@pytest.mark.parametrize("seed", range(5))
def test_what_is_held_out_is_that_of_the_split_in_use(seed):
    benchmark = DATASETS["nl2bash"](split_seed=seed)
    pairs = datasets.beside(benchmark, "tldr")
    trained = {e.id for e in benchmark.examples("train")}
    assert ("2" in ids(pairs)) == ("train-000000" in trained)
    assert ("0" in ids(pairs)) == ("test-000000" in trained)


def test_a_benchmark_beside_pairs_is_itself_with_its_own_rows():
    pairs = DATASETS["tldr"](scheme="released")
    assert datasets.beside(pairs, "tldr") is pairs
    assert datasets.beside(pairs, "nl2bash") == DATASETS["nl2bash"](scheme="released")


@pytest.mark.parametrize("benchmark", ["conala", "generated", "bash_corpus"])
def test_only_a_benchmark_of_the_language_holds_requests_out(benchmark):
    with pytest.raises(ValueError, match=f"data.benchmark is '{benchmark}'; expected"):
        DATASETS["tldr"](benchmark=benchmark)


def test_a_corpus_counts_what_it_leaves_out(monkeypatch):
    loaded = [outcome(f"train-{n:06d}", "", "x") for n in range(8)]
    held_out = [outcome(f"test-{n:06d}", "", "x") for n in range(2)]
    renamed = [
        rows.Outcome(f"conala-{o.id}", "train", o.example) for o in loaded + held_out
    ]
    monkeypatch.setattr(prepare, "load", lambda name, data_dir: tuple(renamed))
    assert CORPORA["python_corpus"](scheme="released").held_out_rows() == 2
    assert CORPORA["bash_corpus"](scheme="released").held_out_rows() == 0
