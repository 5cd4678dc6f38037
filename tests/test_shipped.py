"""The model of the package: it answers, it is small, and its data may be passed on."""

import importlib.util
import json
import pathlib

import pytest

import codefusion
from codefusion import config as configs
from codefusion import main, shipped
from codefusion.commands import model_card

ROOT = pathlib.Path(__file__).parent.parent
ALLOWED = {"nl2bash", "generated", "conala", "python_docs"}
REQUESTS = {
    "bash": "list all files in the folder",
    "python": "sort a list of numbers",
    "cf": "highlight cells greater than 25",
}


@pytest.fixture(scope="module")
def model():
    return codefusion.load()


def test_the_whole_model_has_less_than_12_mb():
    sizes = [path.stat().st_size for path in shipped.FOLDER.iterdir()]
    assert 1_000_000 < sum(sizes) <= 12_000_000


def test_it_was_trained_as_its_config_says_and_on_allowed_data_alone(model):
    spec = importlib.util.spec_from_file_location("c", ROOT / "configs" / "shipped.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    differs = configs.diff(module.get_config(), model.config)
    assert {key.split(".")[0] for key in differs} <= {"inference", "evaluation"}
    assert set(model_card.sources(model.config)) <= ALLOWED
    card = (shipped.FOLDER / "README.md").read_text()
    assert all(name in card for name in model_card.sources(model.config))
    assert "CC BY-SA 4.0" in card and "## Limits" in card and "## Scores" in card


def test_it_is_shown_in_a_line(model):
    assert repr(model) == "<Generator of bash, cf, python: codefusion, step 9000>"


@pytest.mark.parametrize("language", REQUESTS)
def test_it_writes_each_of_its_languages(model, language):
    assert set(model.languages) == set(REQUESTS)
    (answer,) = model.generate([REQUESTS[language]], language=language)
    assert len(answer) == 5 and answer[0].text.strip()
    assert model.parts.is_valid(answer[0].text, language)
    assert answer == model.generate([REQUESTS[language]], language=language)[0]


def test_sample_without_a_workdir_asks_the_model_of_the_package(capsys, tmp_path):
    words = ["codefusion", "sample", REQUESTS["bash"], "--json", "--num_candidates=2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert main.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["candidates"]) == 2
    assert not [path for path in shipped.FOLDER.iterdir() if path.is_dir()]


def test_other_commands_still_ask_for_a_workdir(capsys):
    assert main.main(["codefusion", "evaluate"]) == 1
    assert "evaluate needs --workdir=DIR" in capsys.readouterr().err


def test_another_folder_is_not_the_packages(tmp_path):
    assert shipped.is_shipped(shipped.FOLDER) and not shipped.is_shipped(tmp_path)
    assert shipped.writable(tmp_path) == tmp_path
