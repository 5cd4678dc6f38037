"""A file of one's own: what is read, how it is split, which line a bad row gets."""

import gzip
import hashlib
import json
import pathlib

import pytest

from codefusion import main
from codefusion.data import report
from codefusion.data.custom import Custom
from codefusion.data.datasets import SPLITS
from codefusion.evaluation import metrics

ROOT = pathlib.Path(__file__).parent.parent.parent


def lines(count, **more):
    made = [
        {"utterance": f"go {i}", "code": f"MOVE {i};", **more} for i in range(count)
    ]
    return [json.dumps(row) for row in made]


@pytest.fixture
def written(tmp_path):
    """Returns a function that writes lines to a file and gives its path."""

    def write(rows, name="pairs.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return str(path)

    return write


def test_every_row_is_in_one_split_the_same_each_time(written):
    file = written(lines(50))
    found = {s: [e.id for e in Custom(train=file).examples(s)] for s in SPLITS}
    assert {s: len(ids) for s, ids in found.items()} == dict(
        train=40, validation=5, test=5
    )
    assert len({id for ids in found.values() for id in ids}) == 50
    again = Custom(train=written(lines(50), "moved.jsonl"))
    assert {s: [e.id for e in again.examples(s)] for s in SPLITS} == found
    assert again.content_hash == Custom(train=file).content_hash
    other = Custom(train=file, split_seed=1)
    assert [e.id for e in other.examples("test")] != found["test"]


def test_a_changed_file_is_read_again(written):
    first = Custom(train=written(lines(20))).content_hash
    assert Custom(train=written(lines(21))).content_hash != first


def test_fields_may_have_other_names_and_the_file_may_be_compressed(written, tmp_path):
    rows = [json.dumps({"q": f"say {i}", "sql": f"SELECT {i}"}) for i in range(10)]
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    found = Custom(train=str(path), utterance_field="q", code_field="sql")
    assert {e.code for s in SPLITS for e in found.examples(s)} == {
        f"SELECT {i}" for i in range(10)
    }


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"utterance": "a"}', "pairs.jsonl:4: code: the field is missing"),
        ('{"utterance": 3, "code": "x"}', "pairs.jsonl:4: utterance: expected text"),
        ('{"utterance": "a", "code": " "}', "pairs.jsonl:4: code: the text is empty"),
        ('{"utterance": "a", "code"}', "pairs.jsonl:4: row: not JSON"),
        ('["a", "x"]', "pairs.jsonl:4: row: expected a JSON object, got a list"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(written, bad, reason):
    rows = lines(20)
    file = written([*rows[:2], "", bad, *rows[2:]])
    with pytest.raises(ValueError) as error:
        Custom(train=file).examples("train")
    assert reason in str(error.value) and "\n" not in str(error.value)
    aside = Custom(train=file, on_error="quarantine")
    errors = [str(e) for split in SPLITS for e in aside.quarantined(split)]
    assert len(errors) == 1 and reason in errors[0]
    assert sum(len(aside.examples(split)) for split in SPLITS) == 20


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "data.train is ''"),
        (dict(train="none.jsonl"), "data.train is 'none.jsonl', which is not a file"),
    ],
)
def test_a_missing_file_is_an_error_when_it_is_read(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        Custom(**arguments).examples("train")


def test_too_few_rows_are_an_error(written):
    with pytest.raises(ValueError, match="has 9 rows that can be used; expected at"):
        Custom(train=written(lines(9))).examples("train")


def test_another_file_than_the_pinned_one_is_refused(written):
    file = written(lines(20))
    content = hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
    assert len(Custom(train=file, sha256=content).examples("train")) == 16
    written(lines(21))
    with pytest.raises(ValueError, match="but data.sha256 is"):
        Custom(train=file, sha256=content).examples("train")


def test_it_is_described(written):
    facts = report.describe(Custom(train=written(lines(20)), language="robot"))
    assert facts["file_rows"] == {"train": 20}
    assert facts["language"] == "robot"
    assert "20" in report.render(facts)


def test_only_the_data_section_names_a_file(written, capsys):
    file = written(lines(20))
    words = ["data", f"--config={ROOT}/configs/quickstart.py"]
    mixture = "--config.training.mixture=(('custom', 0.5),)"
    assert main.main(["codefusion", *words, mixture]) == 1
    assert "training.mixture names 'custom'" in capsys.readouterr().err
    own = [f"--config={ROOT}/configs/custom.py", f"--config.data.train={file}"]
    assert main.main(["codefusion", "data", *own, mixture]) == 0


@pytest.mark.parametrize(("language", "checked"), [("bash", True), ("robot", False)])
def test_only_a_language_that_is_known_is_checked_for_validity(language, checked):
    chosen = metrics.choose(Custom(language=language).language, ("validity",))
    assert [metric.name for metric in chosen] == ["validity"] * checked
