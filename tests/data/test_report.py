"""The report counts what a reader would count by hand."""

import json

import pytest

from codefusion.data import report, rows
from codefusion.data.datasets import DATASETS


class Small:
    """A data set of a handful of rows."""

    name, language, scheme = "small", "bash", "released"
    content_hash, source_length, target_length = "c0ffee", 3, 4

    def __init__(self):
        self._outcomes = {
            "train": [self.row("1", "list", "ls"), self.row("2", "clock", "date +%s")],
            "validation": [],
            "test": [
                self.row("3", "list", "ls", repairs=("mended",)),
                self.row("4", "list", "date +%s"),
                self.row("5", "new", "rm"),
                self.bad("6", "test[3].Code"),
            ],
        }

    def row(self, id, utterance, code, repairs=()):
        return rows.Outcome(id, "", rows.Example(id, utterance, code), None, repairs)

    def bad(self, id, field):
        return rows.Outcome(id, "", None, rows.RowError("f", 4, field, "bad"))

    def outcomes(self, split):
        return self._outcomes[split]

    def examples(self, split):
        return [o.example for o in self._outcomes[split] if o.example]

    def quarantined(self, split):
        return [o.error for o in self._outcomes[split] if o.error]

    def file_counts(self):
        return {"train": 2, "test": 4}

    def held_out_rows(self):
        return 1234

    def sources(self):
        return ()


class Letters:
    def encode(self, text):
        return list(text)


def test_counts_faults_and_overlap():
    found = report.describe(Small())
    test = found["splits"]["test"]
    assert (test["rows"], test["examples"], test["distinct_code"]) == (4, 3, 3)
    assert test["quarantined"] == {"Code: bad": 1}
    assert test["repaired"] == {"mended": 1}
    seen = {"rows": 3, "code": 2, "utterance": 2, "both": 1}
    assert found["seen_in_training"]["test"] == seen
    assert found["errors"] == ["f:4: test[3].Code: bad"]


def test_seen_is_said_of_each_row_and_white_space_at_the_ends_is_not_compared():
    small = Small()
    train = small.examples("train")
    test = [*small.examples("test"), rows.Example("7", " list\n", "\tls ")]
    assert report.seen(train, test, "code") == [True, True, False, True]
    assert report.seen(train, test, "utterance", "code") == [True, False, False, True]
    inside = rows.Example("8", "list", "l s")
    assert report.seen(train, [inside], "code") == [False]


def test_token_lengths_count_the_end_and_the_rows_that_do_not_fit():
    found = report.describe(Small(), tokenizer=Letters())["splits"]
    assert found["train"]["target_tokens"]["p100"] == len("date +%s") + 1
    assert found["train"]["too_long"] == 2
    assert found["test"]["source_tokens"]["p50"] == len("list") + 1


def test_test_programs_in_what_is_trained_on_beside_are_counted():
    found = report.describe(Small(), others=(Small(),))
    assert found["test_code_in_others"] == {"small": 2}
    assert found["held_out_rows"] == 1234


def test_the_programs_of_a_data_set_are_those_of_its_train_split():
    assert report.programs(Small()) == {"ls", "date +%s"}


def test_a_percentile_is_the_shortest_length_that_this_share_fits_in():
    lengths = list(range(100, 0, -1))
    assert report.percentiles(lengths) == {"p50": 50, "p95": 95, "p99": 99, "p100": 100}
    assert report.percentiles([7]) == {"p50": 7, "p95": 7, "p99": 7, "p100": 7}
    assert report.percentiles([]) == {}


def test_the_text_names_every_count_and_the_dict_is_json():
    found = report.describe(Small(), tokenizer=Letters(), others=(Small(),))
    text = report.render(json.loads(json.dumps(found)))
    for part in ("small (bash)", "train 2, test 4", "by both 1 of 3", "c0ffee"):
        assert part in text
    for part in ("quarantined 1: Code: bad", "repaired 1: mended", "set aside: f:4"):
        assert part in text
    for part in ("test programs in small: 2", "held out by a benchmark: 1,234"):
        assert part in text


def test_generated_data_has_a_report_too():
    found = report.describe(DATASETS["generated"](size=50, held_out_size=20))
    assert found["splits"]["train"]["rows"] == 50
    assert found["seen_in_training"]["test"]["code"] == 0
    assert "generated (cf)" in report.render(found)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_overlap_of_the_released_bash_split_needs_data(data_dir, cache, monkeypatch):
    monkeypatch.setenv("CODEFUSION_CACHE", str(cache))
    dataset = DATASETS["nl2bash"](scheme="released", data_dir=str(data_dir))
    found = report.describe(dataset)
    assert found["seen_in_training"]["test"] == {
        "rows": 2522,
        "code": 747,
        "utterance": 0,
        "both": 0,
    }
    assert found["splits"]["test"]["repaired"] == {
        "newline at the end of a text stripped": 2522
    }
