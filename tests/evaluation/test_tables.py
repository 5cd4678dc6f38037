"""Tables hold the paper's known figures, ours with intervals, and their origin."""

import json

import pytest

from codefusion.evaluation import paper, tables
from codefusion.evaluation.predict import write_predictions
from codefusion.evaluation.score import score, write_scores


@pytest.fixture
def scored(tmp_path, header, toy, toy_rows):
    """Returns a function from a data set's name to a scores file."""

    def make(name, **changes):
        toy.name = name
        write_predictions(
            tmp_path / "p", header | {"dataset": name, **changes}, toy_rows
        )
        path = str(tmp_path / f"{name}.json")
        write_scores(path, score(tmp_path / "p", toy, num_resamples=50))
        return path

    return make


def row_of(table, title):
    (row,) = [row for row in table["rows"] if row["title"] == title]
    return dict(
        zip(
            [(c["group"], c["title"]) for c in table["columns"]],
            row["cells"],
            strict=True,
        )
    )


def test_our_line_stands_under_the_system_it_is_compared_with(scored):
    entries = [
        tables.Entry("ours", (scored("nl2bash"),)),
        tables.Entry("alone", beside=""),
    ]
    titles = [row["title"] for row in tables.build("table1", entries)["rows"]]
    assert titles[:2] == ["CodeFusion 75M", "ours"]
    assert titles[-1] == "alone"


def test_cells_hold_the_papers_figure_ours_with_interval_or_nothing(scored):
    table = tables.build("table1", [tables.Entry("ours", (scored("nl2bash"),))])
    theirs, ours = row_of(table, "CodeFusion 75M"), row_of(table, "ours")
    key = ("Bash template match", "top-5")
    assert theirs[key] == {"value": 72.0}
    assert ours[key]["value"] == pytest.approx(200 / 3, abs=1e-3)
    assert ours[key]["low"] <= ours[key]["value"] <= ours[key]["high"]
    assert theirs["Bash template match", "top-1"] == {}
    assert ours["CF execution match", "top-1"] == {}


def test_every_figure_of_the_paper_has_a_column():
    for name, systems in paper.FIGURES.items():
        columns = {(c.group, c.title) for c in tables.TABLES[name][1]}
        assert all(set(figures) <= columns for figures in systems.values())


def test_the_papers_means_are_those_of_its_columns():
    for system in ("CodeFusion 75M", "GENIE"):
        *parts, mean = paper.FIGURES["table3"][system].values()
        assert mean == pytest.approx(sum(parts) / 3, abs=0.05)


def test_our_mean_needs_all_three_languages(scored):
    paths = tuple(scored(name) for name in ("conala", "nl2bash", "cf_rules"))
    for given, filled in ((paths, True), (paths[:2], False)):
        table = tables.build("table3", [tables.Entry("ours", given)])
        assert bool(row_of(table, "ours")["valid top-1", "mean"]) == filled


def test_a_column_without_a_model_says_what_it_needs(tmp_path, scored):
    path = scored("conala")
    found = json.loads(open(path).read())
    found["unavailable"] = {"codebert_score": "not available: needs --codebert"}
    write_scores(path, found)
    text = tables.markdown(tables.build("table1", [tables.Entry("ours", (path,))]))
    assert "not available: needs --codebert" in text


def test_footnotes_tell_where_a_line_is_from_and_lines_share_them(scored):
    path = scored("nl2bash", commit="f00dbeef" * 5, truncated_utterances=1_234)
    entries = [tables.Entry("one", (path,)), tables.Entry("two", (path,))]
    table = tables.build("table1", entries)
    assert len(table["footnotes"]) == 2
    for part in (
        "random test split",
        "3 rows",
        "33.3 %",
        "1,234 with an utterance cut",
        "20 steps",
        "f00dbeef",
        "10 -> 20",
    ):
        assert part in table["footnotes"][1]


def test_the_text_forms_come_from_the_json_alone(tmp_path, scored):
    table = tables.build("table2", [tables.Entry("a | b_%", (scored("nl2bash"),))])
    paths = tables.write_table(tmp_path / "out", table)
    source, md, tex = (open(path).read() for path in paths)
    stored = json.loads(source)
    assert md == tables.markdown(stored) and tex == tables.latex(stored)
    assert "a \\| b_%" in md and "a | b\\_\\%" in tex


@pytest.mark.parametrize("name", sorted(tables.TABLES))
def test_every_line_of_both_text_forms_has_every_column(name, scored):
    table = tables.build(name, [tables.Entry("ours", (scored("nl2bash"),), beside="")])
    width = len(table["columns"]) + 2
    lines = [t for t in tables.markdown(table).splitlines() if t.startswith("|")]
    assert {line.count("|") for line in lines} == {width + 1}
    tex = tables.latex(table).splitlines()
    body = tex[tex.index("\\midrule") + 1 : tex.index("\\bottomrule")]
    assert {line.count("&") for line in body} == {width - 1}


def test_numbers_are_printed_with_the_digits_of_their_column():
    assert (
        tables._cell_text({"value": 45.06, "low": 40, "high": 50.14}, 1)
        == "45.1 [40.0, 50.1]"
    )
    assert tables._cell_text({"value": 0.816}, 2) == "0.82"
    assert tables._cell_text({}, 1) == ""


def test_an_unknown_table_and_doubled_scores_are_refused(scored):
    with pytest.raises(ValueError, match="TABLE is 'table9'"):
        tables.build("table9", [])
    path = scored("nl2bash")
    with pytest.raises(ValueError, match="already has scores of nl2bash"):
        tables.build("table1", [tables.Entry("ours", (path, path))])
