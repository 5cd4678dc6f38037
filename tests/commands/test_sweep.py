"""The rows of a table: seeds, weights that rows share, and faults of a file."""

import pathlib

import pytest

from codefusion.commands import sweep

FEW = {"sampler.num_steps": 2}


@pytest.fixture
def add():
    """An `add` of a file in the folder of tables."""
    return sweep.Sweep(pathlib.Path("configs/tables"))


def test_a_row_has_a_run_for_each_seed(add):
    add("a", "configs/tiny.py", title="t", seeds=(0, 3), changes={"x": 1})
    add("b", file="configs/tiny.py")
    assert [(run.name, run.title, run.changes) for run in add.runs] == [
        ("a_seed0", "t", {"seed": 0, "x": 1}),
        ("a_seed3", "t", {"seed": 3, "x": 1}),
        ("b", "codefusion (ours)", {}),
    ]


def test_a_row_of_another_takes_its_weights_seed_by_seed(add):
    add("a", "configs/tiny.py", seeds=(0, 1), changes={"model.width": 8})
    add("few", of="a", changes=FEW, title="few")
    add("more", of="few", changes={"sampler.num_steps": 9}, seeds=(1,))
    few, more = add.runs[2:4], add.runs[4]
    assert [run.trained for run in few] == add.runs[:2]
    assert [run.name for run in few] == ["few_seed0", "few_seed1"]
    assert few[1].changes == {"seed": 1, "model.width": 8} | FEW
    assert few[1].file == "configs/tiny.py"
    assert (more.trained, more.seed) == (add.runs[1], 1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"of": "a", "changes": {"training.num_steps": 2}}, "sets training.num_steps"),
        ({"of": "a", "changes": {"seed": 2}}, "sets seed"),
        ({"of": "none"}, "of is 'none'; expected a row before it, one of a"),
        ({"of": "a", "seeds": (0, 7)}, "seeds has 7, but 'a' has"),
        ({"of": "a", "file": "configs/tiny.py"}, "either a file or of="),
        ({}, "either a file or of="),
    ],
)
def test_what_a_row_of_another_cannot_be_is_an_error(given, reason, add):
    add("a", "configs/tiny.py", seeds=(0, 1))
    with pytest.raises(ValueError, match=reason):
        add("b", **given)


def test_two_rows_of_one_name_are_an_error(add):
    add("a", "configs/tiny.py")
    with pytest.raises(ValueError, match="'a' is the name of two rows"):
        add("a", "configs/tiny.py", seeds=(0,))


def test_a_table_may_have_the_rows_of_another(tmp_path):
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text("def sweep(add):\n    add('a', 'configs/tiny.py')\n")
    second.write_text(
        "TABLE = 'table2'\n\ndef sweep(add):\n    add.runs_of('first.py')\n"
    )
    asked = sweep.read(f"{second}:form")
    assert (asked.table, [run.name for run in asked.runs]) == ("table2", ["a"])
    assert asked.notes == ()
    with pytest.raises(ValueError, match="lacks TABLE"):
        sweep.read(str(first))
    second.write_text("TABLE = 'table2'\n\ndef sweep(add):\n    add.runs_of('no.py')\n")
    with pytest.raises(ValueError, match=r"no\.py is not a file"):
        sweep.read(str(second))


def test_a_table_that_there_is_not_is_an_error_with_those_there_are(tmp_path):
    file = tmp_path / "table.py"
    file.write_text("TABLE = 'table9'\n\ndef sweep(add): ...\n")
    with pytest.raises(ValueError, match="TABLE is 'table9'; expected one of frontier"):
        sweep.read(str(file))


def test_a_table_has_the_notes_of_its_file(tmp_path):
    file = tmp_path / "table.py"
    file.write_text("TABLE = 'table2'\nNOTES = ['One core.']\n\ndef sweep(add): ...\n")
    assert sweep.read(str(file)).notes == ("One core.",)
    file.write_text("TABLE = 'table2'\nNOTES = ('One core.')\n\ndef sweep(add): ...\n")
    with pytest.raises(ValueError, match="NOTES is a str; expected a tuple"):
        sweep.read(str(file))


def test_a_run_tells_its_settings_without_its_seed(add):
    add("plain", "configs/tiny.py:autoregressive")
    add("beams", of="plain", changes={"sampler": {"name": "beam"}} | FEW)
    add("short", "configs/tiny.py", changes=FEW)
    add("searched", of="short", changes={"sampler": {"name": "nucleus"}})
    add("seeded", "configs/tiny.py", seeds=(3,))
    add("kept", "configs/tiny.py", scores="kept.json")
    few = ", ".join(f"{key}={value}" for key, value in FEW.items())
    assert [run.settings for run in add.runs] == [
        "configs/tiny.py:autoregressive",
        f"configs/tiny.py:autoregressive with sampler.name=beam, {few}",
        f"configs/tiny.py with {few}",
        "configs/tiny.py with sampler.name=nucleus",
        "configs/tiny.py",
        "",
    ]
