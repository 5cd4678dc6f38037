"""The README's commands exist, and run in reduced form as written."""

import io
import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from codefusion import main

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
REDUCED = "configs/tiny.py"
FEW_STEPS = [
    f"--config.{change}"
    for change in (
        "training.num_steps=4",
        "training.eval_every=0",
        "pretraining.num_steps=0",
        "sampler.num_steps=4",
        "evaluation.max_rows=6",
        "data.size=400",
    )
]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    """Returns the words of every command line in the README."""
    lines = "".join(blocks("sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines]


def codefusion_commands():
    return [words for words in commands() if words[0] == "codefusion"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the work directory of the README's train command, reduced."""
    workdir = tmp_path_factory.mktemp("readme") / "run"
    train = next(words for words in codefusion_commands() if words[1] == "train")
    assert main.main([*reduced(train, workdir), *FEW_STEPS]) == 0
    return workdir


def reduced(words, workdir):
    """Returns a command of the README on the tiny config and a folder of the test."""
    changes = {
        "--workdir": f"--workdir={workdir}",
        "--config": f"--config={ROOT / REDUCED}",
    }
    return [changes.get(word.partition("=")[0], word) for word in words]


def test_the_readme_opens_with_an_answer_and_the_two_make_commands():
    opening = "".join(blocks("sh")[:2])
    assert README.index(blocks("sh")[1]) < README.index("\n## ")
    words = [shlex.split(line, comments=True)[:2] for line in opening.splitlines()]
    assert words[:2] == [["pip", "install"], ["codefusion", "sample"]]
    assert words[-2:] == [["make", "quickstart"], ["make", "test"]]


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (?:PYTHON=\S+ )?([a-z][a-z-]*)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_command_is_shown_and_every_shown_command_exists():
    table = re.findall(r"^\| `(\w+)", README, re.MULTILINE)
    assert set(main.COMMANDS) <= set(table)
    assert {words[1] for words in codefusion_commands()} <= set(main.COMMANDS)


def test_the_files_that_the_readme_names_exist():
    named = re.findall(r"\b(?:configs|docs|codefusion)/[\w/.]+\w", README)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_train_command_runs_and_resumes(trained):
    before = sorted(path.name for path in (trained / "checkpoints").iterdir())
    train = next(words for words in codefusion_commands() if words[1] == "train")
    assert main.main([*reduced(train, trained), *FEW_STEPS]) == 0
    assert before == sorted(p.name for p in (trained / "checkpoints").iterdir())


@pytest.mark.parametrize(
    "words",
    [
        w
        for w in codefusion_commands()
        if w[1] not in ("train", "doctor", "table", "plan")
    ],
    ids=lambda words: " ".join(words[1:2] + words[3:4]),
)
def test_the_commands_run(words, trained, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main.main(reduced(words, trained)) == 0
    captured = capsys.readouterr()
    assert captured.out.strip()


def test_the_python_lines_run(trained, capsys, monkeypatch):
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line]) <= 5
    monkeypatch.chdir(trained.parent)
    code = code.replace("runs/quickstart", str(trained))
    script = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert (script.returncode, script.stderr) == (0, "")


def test_sample_reads_lines_and_writes_one_json_object_a_line(
    trained, capsys, monkeypatch
):
    stdin = io.TextIOWrapper(io.BytesIO("highlight 3\nbold \u2028 é\n".encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    words = ["codefusion", "sample", f"--workdir={trained}", "--json"]
    assert main.main([*words, "--num_candidates=2", "--seed=4"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["utterance"] for answer in answers] == [
        "highlight 3",
        "bold \u2028 é",
    ]
    assert all(len(answer["candidates"]) == 2 for answer in answers)


def test_the_same_seed_gives_the_same_candidates(trained, capsys):
    words = ["codefusion", "sample", "bold 7", f"--workdir={trained}", "--json"]
    outputs = []
    for seed in (1, 1):
        assert main.main([*words, f"--seed={seed}"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["sample", " "], "empty"),
        (["sample", "ok", "word " * 500], "utterance 2: The utterance has"),
        (["sample", "a", "--config.model.width=64"], "model.width"),
        (["sample", "a", "--config.sampler.num_steps=0"], "sampler.num_steps"),
        (["evaluate", "--split=tests"], "evaluation.split"),
        (["evaluate", "--predictions=none.jsonl"], "none.jsonl"),
    ],
)
def test_what_a_trained_model_cannot_do_is_one_line(words, part, trained, capsys):
    code = main.main(["codefusion", *words, f"--workdir={trained}"])
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (1, 1)
    assert part in error


def test_a_folder_without_a_run_is_named(tmp_path, capsys):
    assert main.main(["codefusion", "sample", "a", f"--workdir={tmp_path}"]) == 1
    assert "holds no config.json" in capsys.readouterr().err


def test_a_long_utterance_is_cut_only_when_asked(trained, capsys):
    words = ["sample", "word " * 500, f"--workdir={trained}", "--truncate"]
    assert main.main(["codefusion", *words]) == 0
    assert capsys.readouterr().out.startswith("word word")


def test_a_table_is_rendered_from_stored_scores(trained, tmp_path, capsys):
    assert main.main(["codefusion", "evaluate", f"--workdir={trained}"]) == 0
    (scores,) = (trained / "scores").glob("*.json")
    file = tmp_path / "some_table.py"
    file.write_text(TABLE.format(scores=str(scores), tiny=str(ROOT / REDUCED)))
    words = ["table", f"--config={file}", f"--workdir={tmp_path / 'table'}"]
    assert main.main(["codefusion", *words, "--notrain"]) == 0
    assert "| ours of old" in capsys.readouterr().out
    written = sorted(path.name for path in (tmp_path / "table" / "tables").iterdir())
    assert written == ["generated.json", "generated.md", "generated.tex"]
    text = (tmp_path / "table" / "tables" / "generated.md").read_text()
    (to_come,) = re.findall(r"^\| ours to come.*", text, re.MULTILINE)
    assert re.findall(r"\d", to_come) == ["2"]  # the note that it was not run
    assert "No scores yet" in text


TABLE = """
from codefusion import config

TABLE = "generated"


def get_config():
    return config.base()


def sweep(add):
    add("old", file={tiny!r}, scores={scores!r}, title="ours of old", beside="")
    add("new", file={tiny!r}, title="ours to come", beside="")
"""


@pytest.mark.slow
def test_a_table_trains_and_evaluates_what_it_lacks(tmp_path, capsys):
    file = tmp_path / "some_table.py"
    changes = dict(change.removeprefix("--config.").split("=") for change in FEW_STEPS)
    changes = {key: int(value) for key, value in changes.items()}
    new = f'title="ours", beside="", changes={changes!r})'
    text = TABLE.format(tiny=str(ROOT / REDUCED), scores="").split("    add")
    file.write_text(f"{text[0]}    add('n', file={str(ROOT / REDUCED)!r}, {new}\n")
    words = ["table", f"--config={file}", f"--workdir={tmp_path / 'table'}"]
    for _ in range(2):  # the second time there is nothing left to train
        assert main.main(["codefusion", *words]) == 0
        assert "| ours" in capsys.readouterr().out
