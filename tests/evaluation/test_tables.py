"""Tables hold the paper's known figures, ours with intervals, and their origin."""

import json

import pytest

from codefusion.evaluation import paper, rendering, tables
from codefusion.evaluation.predict import write_predictions
from codefusion.evaluation.score import read_scores, score, write_scores


@pytest.fixture
def scored(tmp_path, header, toy, toy_rows):
    """Returns a function from a data set's name to a scores file."""

    def make(name, *, rows=toy_rows, **changes):
        toy.name = name
        write_predictions(tmp_path / "p", header | {"dataset": name, **changes}, rows)
        path = str(tmp_path / f"{name}{len(list(tmp_path.iterdir()))}.json")
        write_scores(path, score(tmp_path / "p", toy, num_resamples=50))
        return path

    return make


@pytest.fixture
def seeds(scored, toy_rows):
    """Returns scores of three seeds, 1, 2 and 3; that of 2 has no match at all."""
    wrong = [row | {"candidates": ["ls |"] * 5} for row in toy_rows]
    return [
        scored("nl2bash", rows=rows, config={"seed": seed, "data": {"name": "x"}})
        for seed, rows in ((1, toy_rows), (2, wrong), (3, toy_rows))
    ]


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
        columns = {(c.group, c.title) for c in tables.TABLES[name].columns}
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
    text = rendering.markdown(tables.build("table1", [tables.Entry("ours", (path,))]))
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


def test_footnotes_begin_with_the_names_and_the_settings_of_the_runs(seeds):
    settings = "configs/nl2bash.py with sampler.num_steps=5"
    runs = tuple((f"bash_seed{seed}", settings) for seed in (1, 2))
    entry = tables.Entry("ours", tuple(seeds[:2]), runs=runs)
    footnote = tables.build("table1", [entry])["footnotes"][1]
    begin = f"bash_seed1, bash_seed2, {settings}: nl2bash, random test split"
    assert footnote.startswith(begin)
    assert "config changes" not in footnote


def test_a_footnote_tells_which_run_has_which_settings(seeds):
    runs = (("bash_seed1", "a.py"), ("bash_seed2", "a.py with model.width=8"))
    entry = tables.Entry("ours", tuple(seeds[:2]), runs=runs)
    footnote = tables.build("table1", [entry])["footnotes"][1]
    begin = "bash_seed1, a.py; bash_seed2, a.py with model.width=8: nl2bash"
    assert footnote.startswith(begin)
    with pytest.raises(ValueError, match="ours: runs has 2 for 1 files"):
        tables.Entry("ours", tuple(seeds[:1]), runs=runs)


def test_the_text_forms_come_from_the_json_alone(tmp_path, scored):
    table = tables.build("table2", [tables.Entry("a | b_%", (scored("nl2bash"),))])
    paths = tables.write_table(tmp_path / "out", table)
    source, md, tex = (open(path).read() for path in paths)
    stored = json.loads(source)
    assert md == rendering.markdown(stored) and tex == rendering.latex(stored)
    assert "a \\| b_%" in md and "a | b\\_\\%" in tex


def test_notes_stand_under_the_whole_table_before_the_footnotes(scored):
    entries = [tables.Entry("ours", (scored("nl2bash"),))]
    table = tables.build("table2", entries, ("Of 1 % of the rows.", "One core."))
    markdown, latex = rendering.markdown(table), rendering.latex(table)
    for text, sign in ((markdown, "%"), (latex, "\\%")):
        parts = ("ours", f"Of 1 {sign} of the rows.", "One core.", "Singh et al.")
        places = [text.index(part) for part in parts]
        assert places == sorted(places)


@pytest.mark.parametrize("name", sorted(tables.TABLES))
def test_every_line_of_both_text_forms_has_every_column(name, scored):
    of_scores = tables.TABLES[name].read is read_scores
    scores = (scored("nl2bash"),) if of_scores else ()
    table = tables.build(name, [tables.Entry("ours", scores, beside="")])
    width = len(table["columns"]) + 2
    lines = [t for t in rendering.markdown(table).splitlines() if t.startswith("|")]
    assert {line.count("|") for line in lines} == {width + 1}
    tex = rendering.latex(table).splitlines()
    body = tex[tex.index("\\midrule") + 1 : tex.index("\\bottomrule")]
    assert {line.count("&") for line in body} == {width - 1}


def test_numbers_are_printed_with_the_digits_of_their_column():
    assert (
        rendering.cell_text({"value": 45.06, "low": 40, "high": 50.14}, 1)
        == "45.1 [40.0, 50.1]"
    )
    assert rendering.cell_text({"value": 0.816}, 2) == "0.82"
    assert rendering.cell_text({}, 1) == ""


def test_seeds_share_a_cell_with_their_mean_ends_and_range(seeds):
    key = ("Bash template match", "top-5")
    one = row_of(tables.build("table1", [tables.Entry("a", (seeds[0],))]), "a")[key]
    table = tables.build("table1", [tables.Entry("a", tuple(seeds))])
    cell = row_of(table, "a")[key]
    assert "seeds" not in one and cell["seeds"] == 3
    assert (cell["lowest"], cell["highest"]) == (0.0, one["value"])
    assert cell["value"] == pytest.approx(2 / 3 * one["value"], abs=1e-5)
    assert one["low"] * 2 / 3 <= cell["low"] <= cell["value"] <= cell["high"]
    assert "(0.0 to 66.7, 3 seeds)" in rendering.markdown(table)
    assert "trained with seeds 1, 2, 3, drawn with seed 1" in table["footnotes"][1]
    assert "mean of the seeds' ends" in table["footnotes"][1]


def test_size_time_and_rows_seen_stand_beside_the_scores_where_they_are_known(scored):
    known = {"parameters": 1_230_000, "hardware": "2 x some processor"}
    paths = [
        scored("nl2bash", config={"seed": n}, training_seconds=60.0 * n, **known)
        for n in (1, 3)
    ]
    table = tables.build("table1", [tables.Entry("ours", tuple(paths))])
    cells = row_of(table, "ours")
    assert cells["parameters, M", "Bash"] == {"value": 1.23}
    time = {"value": 2.0, "seeds": 2, "lowest": 1.0, "highest": 3.0}
    assert cells["training, min", "Bash"] == time
    assert cells["rows seen in training", "Bash"] == {"value": 33.3333}
    assert cells["parameters, M", "CF"] == {}
    assert "2.0 (1.0 to 3.0, 2 seeds)" in rendering.markdown(table)
    assert ", on 2 x some processor;" in table["footnotes"][1]
    older = tables.build("table1", [tables.Entry("ours", (scored("nl2bash"),))])
    assert row_of(older, "ours")["training, min", "Bash"] == {}


def test_settings_are_columns_of_a_table_of_settings(scored):
    settings = {"inference": {"guidance": 1.5}, "sampler": {"name": "ddim"}}
    path = scored("cf_rules", config=settings)
    entry = tables.Entry("ours", (path,), beside="")
    cells = row_of(tables.build("frontier", [entry]), "ours")
    assert cells["setting", "guidance"] == {"value": 1.5}
    assert cells["setting", "eta"] == {}
    cells = row_of(tables.build("steps", [entry]), "ours")
    assert cells["denoising", "sampler"] == {"text": "ddim"}
    assert cells["denoising", "steps"] == {"value": 20}


def test_what_differs_in_more_than_seeds_is_no_other_seed(scored, seeds):
    other = scored("nl2bash", config={"seed": 4, "data": {"name": "y"}})
    for paths, reason in (
        ((seeds[0], other), "differ in data.name"),
        ((seeds[0], seeds[0]), "have the same seeds"),
    ):
        with pytest.raises(ValueError, match=f"has scores of nl2bash.*{reason}"):
            tables.build("table1", [tables.Entry("ours", paths)])


def test_a_line_says_which_of_its_runs_have_no_scores(scored):
    gone = (("conala", "python"), ("cf_rules", "cf"))
    entries = [
        tables.Entry("some", (scored("nl2bash"),), missing=gone),
        tables.Entry("none", missing=gone),
    ]
    table = tables.build("table1", entries)
    notes = {row["title"]: row["notes"] for row in table["rows"]}
    texts = [table["footnotes"][notes[title][-1] - 1] for title in ("some", "none")]
    assert texts == ["No scores yet: not run python, cf.", "No scores yet: not run."]
    assert set(map(str, row_of(table, "none").values())) == {"{}"}


def test_a_table_by_data_set_has_a_row_of_each(scored):
    paths = (scored("nl2bash"), scored("conala"))
    entry = tables.Entry("ours", paths, missing=(("cf_rules", "cf"),), beside="")
    table = tables.build("table2", [entry])
    assert [row["title"] for row in table["rows"][-3:]] == [
        "ours, Python",
        "ours, Bash",
        "ours, CF",
    ]
    assert row_of(table, "ours, Bash")["distinct n-grams", "4"]["value"] > 0
    assert row_of(table, "ours, CF")["distinct n-grams", "4"] == {}


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="TABLE is 'table9'"):
        tables.build("table9", [])
