"""Data sets: splits, schemes, hashes; counts of the released files."""

import itertools
import subprocess
import sys

import pytest

from codefusion.data import datasets, rows
from codefusion.data.builders import prepare
from codefusion.data.datasets import CORPORA, DATASETS, SPLITS

FILE_COUNTS = {
    "cf_rules": {"train": 712, "test": 178},
    "nl2bash": {"train": 10_085, "test": 2_522},
    "conala": {"train": 2_379, "test": 500},
}
CORPUS_COUNTS = {"cf_corpus": 226_468, "bash_corpus": 88_512, "python_corpus": 34_542}


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def real(data_dir, cache, monkeypatch):
    """Returns a function that builds a data set on the released files."""
    monkeypatch.setenv("CODEFUSION_CACHE", str(cache))
    table = DATASETS | CORPORA
    return lambda name, **more: table[name](data_dir=str(data_dir), **more)


@pytest.fixture
def made(monkeypatch):
    """Returns a function that builds `nl2bash` on made-up outcomes."""

    def build(outcomes, **more):
        loaded = tuple(outcomes)
        monkeypatch.setattr(prepare, "load", lambda name, data_dir: loaded)
        return DATASETS["nl2bash"](**more)

    datasets._examples_hash.cache_clear()
    yield build
    datasets._examples_hash.cache_clear()


def outcome(number, part="train", *, code="ls", bad=False):
    id = f"{part}-{number:06d}"
    if bad:
        error = rows.RowError("f", number, f"{part}[{number}].Code", "is bad")
        return rows.Outcome(id, part, None, error)
    return rows.Outcome(id, part, rows.Example(id, f"request {number}", code))


@pytest.mark.parametrize("name", sorted(FILE_COUNTS))
def test_row_counts_of_benchmarks_needs_data(real, name):
    released = real(name, scheme="released")
    assert released.file_counts() == FILE_COUNTS[name]
    for split in ("train", "test"):
        assert len(released.outcomes(split)) == FILE_COUNTS[name][split]
    random = real(name)
    total = sum(FILE_COUNTS[name].values())
    assert len(random.outcomes("test")) == len(random.outcomes("validation"))
    assert len(random.outcomes("test")) == total // 10
    assert sum(len(random.outcomes(split)) for split in SPLITS) == total


@pytest.mark.parametrize("name", sorted(CORPUS_COUNTS))
def test_row_counts_of_corpora_needs_data(real, name):
    corpus = real(name)
    examples = corpus.examples("train")
    assert len(examples) == CORPUS_COUNTS[name]
    assert len({e.id for e in examples}) == len(examples)
    assert not any(e.utterance for e in examples)
    assert corpus.examples("test") == corpus.quarantined("train") == []


def test_the_one_bad_row_of_the_benchmarks_is_set_aside_needs_data(real):
    bad = real("cf_rules", scheme="released").quarantined("test")
    assert [str(error) for error in bad] == [
        "CFRuleBenchmarks.json:1: test[27].Code: the text is empty"
    ]
    strict = real("cf_rules", scheme="released", on_error="raise")
    with pytest.raises(ValueError, match=r"1 rows of test .*test\[27\]"):
        strict.examples("test")
    assert len(strict.examples("train")) == 712


def test_null_requests_of_conala_take_the_original_intent_needs_data(real):
    conala = real("conala", scheme="released")
    repaired = {
        part: sum(bool(o.repairs) for o in conala.outcomes(part))
        for part in ("train", "test")
    }
    assert repaired == {"train": 79, "test": 23}
    assert all(e.utterance.strip() for e in conala.examples("train"))


def test_a_dropped_column_argument_leaves_the_other_arguments_needs_data(real):
    kept = real("cf_rules", scheme="released").examples("test")
    dropped = real("cf_rules", scheme="released", column_argument="drop")
    pairs = {
        a.code: b.code for a, b in zip(kept, dropped.examples("test"), strict=True)
    }
    assert pairs["Top(c[1], 2)"] == "Top(2)"
    assert pairs["NOT(Blanks(c[1]))"] == "NOT(Blanks())"
    assert pairs["GreaterThan(c[1],  37)"] == "GreaterThan(37)"
    assert pairs["GreaterThan(LEN(c[0]), 6)"] == "GreaterThan(LEN(c[0]), 6)"
    assert all(a == b for a, b in pairs.items() if "c[" not in a)
    assert dropped.content_hash != real("cf_rules", scheme="released").content_hash


@pytest.mark.parametrize("scheme", datasets.SCHEMES)
def test_the_python_corpus_has_no_held_out_row_of_conala_needs_data(real, scheme):
    conala = real("conala", scheme=scheme, split_seed=3)
    corpus = datasets.beside(conala, "python_corpus")
    codes = [e.code for e in corpus.examples("train") if e.id.startswith("conala-")]
    trained = [e.code.rstrip() for e in conala.examples("train")]
    assert sorted(codes) == sorted(trained)


def test_a_random_split_holds_every_row_once_and_depends_on_the_seed(made):
    loaded = [outcome(n) for n in range(95)] + [outcome(n, "test") for n in range(5)]
    tests = []
    for seed in range(3):
        dataset = made(loaded, split_seed=seed)
        ids = [[o.id for o in dataset.outcomes(split)] for split in SPLITS]
        assert [len(part) for part in ids] == [80, 10, 10]
        assert sorted(itertools.chain(*ids)) == sorted(o.id for o in loaded)
        tests.append(ids[2])
    assert len({tuple(ids) for ids in tests}) == 3


def test_a_row_that_goes_bad_moves_no_other_row(made):
    whole = made(outcome(n) for n in range(50))
    before = {s: [e.id for e in whole.examples(s)] for s in SPLITS}
    damaged = made(outcome(n, bad=n == 17) for n in range(50))
    after = {s: [e.id for e in damaged.examples(s)] for s in SPLITS}
    gone = {s: [i for i in before[s] if i != "train-000017"] for s in SPLITS}
    assert after == gone
    assert sum(len(damaged.quarantined(s)) for s in SPLITS) == 1


def test_the_released_scheme_is_the_parts_of_the_files(made):
    dataset = made([outcome(1), outcome(1, "test")], scheme="released")
    assert [e.id for e in dataset.examples("train")] == ["train-000001"]
    assert [e.id for e in dataset.examples("test")] == ["test-000001"]
    assert dataset.examples("validation") == []


def test_the_content_hash_is_that_of_the_examples(made):
    hashes = []
    for code in ("ls", "ls", "rm"):
        datasets._examples_hash.cache_clear()
        dataset = made(outcome(n, code=code) for n in range(20))
        hashes.append(dataset.content_hash)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(scheme="radnom"), "data.scheme is 'radnom'; expected one of"),
        (dict(on_error="skip"), "data.on_error is 'skip'; expected one of"),
        (dict(column_argument=True), "data.column_argument is True; expected one of"),
    ],
)
def test_a_wrong_choice_names_its_key(arguments, message):
    with pytest.raises(ValueError, match=message):
        DATASETS["cf_rules"](**arguments)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_wrong_split_is_an_error_before_any_file_is_read(name):
    with pytest.raises(ValueError, match="split is 'dev'; expected one of"):
        DATASETS[name]().examples("dev")


def test_generated_examples_are_made_on_demand_and_are_always_the_same():
    dataset = DATASETS["generated"](size=10**9, seed=5)
    train = dataset.examples("train")
    assert len(train) == 10**9
    assert train[123_456_789] == train[123_456_789 - 10**9]
    assert train[10:13] == [train[10], train[11], train[12]]
    assert train[0].table and train[0].code and train[0].utterance
    with pytest.raises(IndexError):
        train[10**9]


def test_generated_examples_can_be_written_as_array_record(tmp_path):
    import tensorflow_datasets as tfds

    build = prepare.builder_class("generated")
    config = build.Config(name="small", size=7, held_out_size=3, seed=2)
    builder = build(config=config, data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    stored = tfds.builder_from_directory(str(builder.data_dir))
    dataset = DATASETS["generated"](size=7, held_out_size=3, seed=2)
    for split in SPLITS:
        found = [
            rows.Example(**{k: v.decode() for k, v in record.items()})
            for record in stored.as_data_source(split=split)
        ]
        assert found == list(dataset.examples(split))


def test_generated_splits_share_no_rule():
    dataset = DATASETS["generated"](size=3000, held_out_size=500)
    codes = {s: {e.code for e in dataset.examples(s)} for s in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not codes[one] & codes[other]


def test_the_generated_hash_depends_on_every_field_that_chooses_examples():
    build = DATASETS["generated"]
    others = [dict(seed=1), dict(size=9), dict(held_out_size=9)]
    others.append(dict(column_argument=True))
    hashes = [build(**more).content_hash for more in [{}, *others]]
    assert len(set(hashes)) == len(hashes)
    assert build().content_hash == build(source_length=9).content_hash


def test_a_data_set_beside_another_shares_lengths_scheme_and_folder():
    conala = DATASETS["conala"](source_length=9, scheme="released", data_dir="there")
    corpus = datasets.beside(conala, "bash_corpus")
    assert (corpus.source_length, corpus.scheme) == (9, "released")
    assert corpus.data_dir == "there"
    assert datasets.beside(conala, "generated").source_length == 9
    with pytest.raises(ValueError, match="'bash' is no data set; expected one of"):
        datasets.beside(conala, "bash")


def test_importing_data_sets_imports_nothing_heavy():
    code = (
        "import sys, codefusion.data.datasets, codefusion.data.report\n"
        "heavy = {'tensorflow', 'torch', 'jax', 'tensorflow_datasets', 'grain'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "codefusion.data.datasets.DATASETS['generated']().examples('train')[0]\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    paths = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], env=paths, check=True, timeout=60)
