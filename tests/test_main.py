import configparser
import io
import json
import logging
import pathlib
import subprocess
import sys

import pytest
from rich.console import Console

from codefusion import config, main
from codefusion.analysis.trajectory import Frame
from codefusion.commands import denoising, doctor
from codefusion.commands.waiting import Waiting
from codefusion.data.builders import prepare
from codefusion.data.datasets import CORPORA

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = """
from codefusion import config

def get_config(size="small"):
    c = config.base()
    c.data = dict(name="nl2bash", source_length=40, target_length=40)
    if size == "large":
        c.training.num_steps = 77
    return c
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(CONFIG)
    return str(path)


def run(*words):
    return main.main(["codefusion", *words])


def only_line(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    line, rest = captured.err.split("\n")
    assert line.startswith("codefusion: ") and rest == ""
    return line


def test_a_config_file_takes_an_argument_and_overrides(config_file):
    call = main.parse(
        "doctor",
        [
            f"--config={config_file}:large",
            "--config.seed=5",
            "a b",
            "--config.data.scheme=released",
            "--config.training.mixture=(('generated', 0.5),)",
            "--config.sampler={'name': 'ddpm', 'num_steps': 3}",
        ],
    )
    assert call.config.training.num_steps == 77
    assert call.config.data.scheme == "released"
    assert call.config.training.mixture == (("generated", 0.5),)
    assert call.config.sampler.to_dict() == {"name": "ddpm", "num_steps": 3}
    assert call.words == ("a b",)
    assert call.overrides[0] == "seed"
    assert config.validate(call.config).seed == 5


def test_without_a_file_the_config_is_that_of_the_work_directory(tmp_path):
    saved = config.base()
    saved.training.num_steps = 123
    (tmp_path / "config.json").write_text(config.to_json(saved))
    words = [f"--workdir={tmp_path}", "--config.seed=9"]
    call = main.parse("doctor", words)
    assert (call.config.training.num_steps, call.config.seed) == (123, 9)
    assert call.config_file is None
    assert main.parse("doctor", []).config is None


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 10**5, "\udcff"])
def test_a_damaged_config_of_a_work_directory_is_named_with_its_remedy(
    text, tmp_path, capsys
):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert run("doctor", f"--workdir={tmp_path}") == 1
    line = only_line(capsys)
    assert str(path) in line and "no config in JSON" in line and "--workdir" in line


def test_a_brief_doctor_shows_the_devices_and_what_is_wrong(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("CODEFUSION_DATA", str(tmp_path))  # which holds nothing
    assert run("doctor", "--brief") == 1
    shown = capsys.readouterr().out
    assert "devices" in shown and "run: unset CODEFUSION_DATA" in shown
    assert "extra" not in shown and "absl" not in shown


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["trian"], ["'trian'", "train"]),
        (["doctor", "--workdri=x"], ["--workdri", "--workdir"]),
        (["doctor", "--config=none.py"], ["none.py", "not a file"]),
        (["doctor", "--config"], ["--config", "not a file"]),
        (["doctor", "--config.seed=1"], ["--config.seed", "needs --config=FILE"]),
        (["doctor", "--sampler.name=x"], ["mean --config.sampler.name=x."]),
        (["doctor", "--seed=1"], ["--seed is not a flag", "mean --config.seed=1."]),
        (["doctor", "--config=FILE", "--config.sed=1"], ["sed", "seed"]),
        (["doctor", "--config=FILE", "--config.trainig.seed=1"], ["training"]),
        (["doctor", "--config=FILE", "--config.seed.x=1"], ["seed.x"]),
        (["doctor", "--config=FILE", "--config.seed=a"], ["seed", "'a'", "integer"]),
        (["doctor", "--config=FILE", "--config.model.remat=a"], ["remat", "'a'"]),
        (["doctor", "--config=FILE", "--config.sampler=x"], ["'x'", "{'name': ...}"]),
        (["sample", "--steps=ten"], ["--steps is 'ten'; expected an integer."]),
        (["export", "--dtype=int8"], ["--dtype is 'int8'; value should be one of <fl"]),
        (["doctor", "--config.seed=1", "--config=FILE"], ["--config.seed", "before"]),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_1(
    words, parts, config_file, capsys
):
    assert run(*(word.replace("FILE", config_file) for word in words)) == 1
    line = only_line(capsys)
    assert [part for part in parts if part not in line] == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("def get_config(:\n", ":1: "),
        ("from codefusion import config\ndef get_config(arg):\n    return x\n", "'x'"),
        ("def get_config(arg):\n    raise ValueError('arg is bad.')\n", "arg is bad."),
    ],
)
def test_a_broken_config_file_is_one_line(text, part, tmp_path, capsys):
    path = tmp_path / "broken.py"
    path.write_text(text)
    assert run("doctor", f"--config={path}:1") == 1
    assert part in only_line(capsys)


def test_debug_shows_the_trace():
    with pytest.raises(ValueError, match="not a command"):
        run("trian", "--debug")


@pytest.mark.parametrize(
    ("installed", "has_tpu", "given", "expected"),
    [
        ({"libtpu"}, False, {}, "cpu"),
        ({"libtpu"}, False, {"JAX_PLATFORMS": "tpu"}, "tpu"),
        ({"libtpu"}, False, {"TPU_NAME": "v"}, None),
        ({"libtpu"}, True, {}, None),
        ({"libtpu", "jax_plugins"}, False, {}, None),
        (set(), False, {}, None),
    ],
)
def test_libtpu_is_passed_over_where_there_is_no_tpu(
    monkeypatch, installed, has_tpu, given, expected
):
    monkeypatch.setattr(main.importlib.util, "find_spec", installed.__contains__)
    monkeypatch.setattr(main, "_has_tpu", lambda: has_tpu)
    main._pass_over_libtpu(given)
    assert given.get("JAX_PLATFORMS") == expected


@pytest.mark.parametrize("words", [(), ("--help",), ("doctor", "--help")])
def test_help_is_on_standard_output(words, capsys):
    assert run(*words) == 0
    captured = capsys.readouterr()
    assert "doctor" in captured.out and captured.err == ""


def drawn(frames, *, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    denoising.draw(console, "a request", frames)
    return console.file.getvalue()


FRAMES = [
    Frame(1, 1.0, "GreaterThan(7)"),
    Frame(10, 0.5, "GreaterThan(25)", noise="a\nb"),
]


def test_denoising_is_plain_where_there_is_no_terminal():
    lines = drawn(FRAMES, terminal=False).splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[0] == "a request"
    assert lines[1].split() == ["step", "1", "t", "1.000", "GreaterThan(7)"]
    assert lines[2].split() == ["step", "10", "t", "0.500", r"a\nb"]
    assert lines[3].strip() == "GreaterThan(25)"
    assert lines[3].index("G") == lines[2].index("a")


def test_denoising_highlights_only_what_changed_on_a_terminal():
    last = drawn(FRAMES, terminal=True).splitlines()[3]
    assert "\x1b[1;32m25\x1b[0m" in last
    assert "\x1b[1;32mGreaterThan" not in last


def test_a_token_that_repeats_is_not_lost_in_the_drawing():
    for before, after in [("a(a)", "a(a, a)"), ("", "x  y"), ("abc", "")]:
        assert denoising.highlight(before, after).plain == after


def test_control_characters_cannot_reach_the_terminal():
    assert denoising.visible("a\x1b[31m\nb\tc") == r"a\x1b[31m\nb\tc"
    assert denoising.visible("é≥[bold]") == "é≥[bold]"


def test_doctor_names_a_missing_package_and_its_remedy(monkeypatch):
    monkeypatch.setattr(
        doctor.metadata,
        "requires",
        lambda _: ["no-such-thing>=3", "numpy>=999", "numpy"],
    )
    wrong, old, good = doctor.find_packages("codefusion")
    assert (wrong.state, old.state, good.state) == ("wrong", "wrong", "ok")
    assert "'no-such-thing>=3'" in wrong.remedy
    assert "older than 999" in old.found


def test_doctor_says_what_a_missing_extra_is_for_and_how_to_install_all_of_it(
    monkeypatch,
):
    lines = [f"{name}; extra == 'oracle'" for name in ("none-a", "numpy", "none-b>=2")]
    lines += ['jax[tpu]; extra == "tpu"', "numpy; extra == 'eval'"]
    version = doctor.metadata.version
    installed = {"numpy": version("numpy"), "jax": version("jax")}

    def look_up(name):
        if name not in installed:
            raise doctor.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor.metadata, "requires", lambda _: lines)
    monkeypatch.setattr(doctor.metadata, "version", look_up)
    oracle, tpu, good = doctor.find_packages("codefusion")
    assert (oracle.state, tpu.state, good.state) == ("note", "note", "ok")
    assert oracle.found.startswith("not installed: none-a, none-b, for tests")
    assert oracle.remedy.endswith("pip install 'none-a' 'none-b>=2'")
    assert "libtpu" in tpu.found and "plan" in tpu.found and "jax[tpu]" in tpu.remedy
    installed["libtpu"] = "1"
    assert doctor.find_packages("codefusion")[1].state == "ok"


def test_doctor_knows_what_each_extra_is_for():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert set(doctor._EXTRAS) == set(settings["options.extras_require"])
    wanted = " ".join(settings["options.extras_require"].values()).split()
    assert {name for name in wanted if "[" in name} == set(doctor._SHOWN_BY)


def test_doctor_tells_the_states_of_the_data_folder(tmp_path):
    assert doctor.find_data({}).state == "note"
    wrong = doctor.find_data({"CODEFUSION_DATA": str(tmp_path)})
    assert wrong.state == "wrong" and wrong.remedy == "unset CODEFUSION_DATA"
    for source in prepare.module("nl2bash").SOURCES:
        touch(tmp_path / f"{source.path}.gz")
    part = doctor.find_data({"CODEFUSION_DATA": str(tmp_path)})
    assert part.state == "note" and "conala" in part.found
    assert "nl2bash" not in part.found and "generated" not in part.found
    for name in ("cf_rules", "conala", "tldr", "python_docs", *CORPORA):
        for source in prepare.module(name).SOURCES:
            touch(tmp_path / source.path)
    assert doctor.find_data({"CODEFUSION_DATA": str(tmp_path)}).state == "ok"


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_doctor_installs_into_the_environment_it_runs_in(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["no-such-thing"])
    (missing,) = doctor.find_packages("codefusion")
    assert missing.remedy == f"{sys.executable} -m pip install 'no-such-thing'"


def test_doctor_finds_the_devices_and_the_disk(tmp_path):
    assert "CPU cores" in doctor.find_devices().found
    assert "GiB free" in doctor.find_disk(tmp_path / "not" / "yet").found


def test_waiting_prints_now_and_then_where_there_is_no_terminal():
    times = iter([0.0, 1.0, 20.0, 20.0, 20.0, 21.0])
    stream = io.StringIO()
    with Waiting("at it", total=10, stream=stream, clock=lambda: next(times)) as bar:
        bar.update(1)
        bar.update(5)
        bar.update(6)
    assert stream.getvalue() == "at it: 5 of 10, 20 s left\n"


def test_waiting_reckons_without_what_was_done_before():
    times, stream = iter([0.0, 20.0, 20.0, 20.0]), io.StringIO()
    given = dict(total=10, begun=4, stream=stream, clock=lambda: next(times))
    with Waiting("at it", **given) as bar:
        bar.update(5)
    assert stream.getvalue() == "at it: 5 of 10, 100 s left\n"


def test_utterances_come_from_arguments_else_from_lines():
    from codefusion.commands import sample

    stdin = io.BytesIO("first\r\nsecond é\n".encode())
    assert sample.read_utterances(("a b", "c"), None) == ["a b", "c"]
    assert sample.read_utterances((), stdin) == ["first", "second é"]


@pytest.mark.parametrize(
    ("words", "stdin", "part"),
    [
        ((" ",), b"", "utterance 1 is empty"),
        (("ok", "\udcff"), b"", "utterance 2 is not UTF-8: byte 0xff at 0"),
        ((), b"", "No utterance"),
        ((), b"ok\n\nok\n", "stdin line 2 is empty"),
        ((), b"ok\nno\xc3(\n", "stdin line 2 is not UTF-8: byte 0xc3 at 2"),
    ],
)
def test_a_bad_utterance_is_named(words, stdin, part):
    from codefusion.commands import sample

    with pytest.raises(ValueError, match="UTF-8|empty|No utterance") as caught:
        sample.read_utterances(words, io.BytesIO(stdin))
    assert part in str(caught.value)


def test_an_answer_is_one_json_line():
    from codefusion.commands import sample

    candidates = [Frame(1, 0.0, "A\nB")]
    line = sample.as_json(
        "say \u2028 it", [_Candidate("A\nB", -0.5)], candidates, seed=3
    )
    assert len(line.splitlines()) == 1
    answer = json.loads(line)
    assert answer["candidates"] == [{"text": "A\nB", "log_prob": -0.5}]
    assert answer["denoising"][0]["text"] == "A\nB"


class _Candidate:
    def __init__(self, text, log_prob):
        self.text, self.log_prob = text, log_prob


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("cf_rules.py:hgue", "the form is 'hgue'; expected one of small, released"),
        ("tiny.py:small", "it takes no argument after a colon."),
    ],
)
def test_a_wrong_form_of_a_config_is_one_sentence(capsys, form, reason):
    assert main.main(["codefusion", "data", f"--config=configs/{form}"]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"codefusion: --config fails: {reason}")
    assert "Traceback" not in line and line.count("\n") == 1


def test_a_warning_is_one_line_like_an_error(capsys, monkeypatch):
    package = logging.getLogger("codefusion")
    monkeypatch.setattr(package, "handlers", [])
    monkeypatch.setattr(package, "propagate", True)
    main._show_warnings()
    logging.getLogger("codefusion.checkpoints").warning("Step %d is whole.", 3)
    assert only_line(capsys) == "codefusion: Step 3 is whole."


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_before_training_ends_a_command_with_its_reason(name):
    program = (
        "import os, signal, time\n"
        "from codefusion import main\n"
        # A shell starts a program in the background with SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"main.main = lambda _: os.kill(os.getpid(), signal.{name}) or time.sleep(9)\n"
        "main.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "codefusion: interrupted.\n"
