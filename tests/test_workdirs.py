"""A work directory that is whole is read; any other says what is wrong with it."""

import importlib.util
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from codefusion import assemble, config, workdirs
from codefusion.checkpoints import Checkpoints
from codefusion.data.tokenizer import Tokenizer

ROOT = pathlib.Path(__file__).parent.parent
STEP = 30


def tokenizer_of(words):
    texts = [f"{a} {b} {c}" for a in words for b in words for c in words]
    return Tokenizer.train(texts, vocab_size=300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, average): a folder as training leaves it, and what it holds."""
    spec = importlib.util.spec_from_file_location(
        "tiny_config", ROOT / "configs" / "tiny.py"
    )
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    checked = assemble.check(tiny.get_config())
    tokenizer = tokenizer_of(["red", "cells", "below", "25"])
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.json").write_text(config.to_json(checked))
    tokenizer.save(folder / "tokenizer.model")
    model = assemble.parts(checked, tokenizer.vocab_size).model
    like = jax.eval_shape(lambda: assemble.init_params(checked, model))
    average = random_like(like, seed=0)
    save(folder, STEP, average, tokenizer)
    return folder, average


def random_like(like, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype), like)


def save(folder, step, average, tokenizer):
    """Writes a checkpoint of which the parameters are not the average."""
    state = dict(params=jax.tree.map(lambda a: a + 1, average), ema_params=average)
    identity = {"tokenizer hash": json.dumps(tokenizer.content_hash)}
    checkpoints = Checkpoints(folder)
    checkpoints.save(step, state, {"identity": identity})
    checkpoints.close()


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the trained folder, to be damaged."""
    return shutil.copytree(trained[0], tmp_path / "run")


def fault(folder):
    with pytest.raises(ValueError) as error:
        workdirs.read(folder)
    line = str(error.value)
    assert "\n" not in line and len(line) < 600
    return line


def flip(path):
    """Flips one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def array_file(folder, step=STEP):
    """Returns the largest file of a checkpoint, which holds the arrays."""
    files = (folder / "checkpoints" / str(step)).rglob("*")
    return max((f for f in files if f.is_file()), key=lambda f: f.stat().st_size)


def test_what_is_read_is_what_was_trained(trained):
    folder, average = trained
    checked, tokenizer, params, step = workdirs.read(folder)
    assert step == STEP
    assert config.to_json(checked) == (folder / "config.json").read_text()
    assert tokenizer.decode(tokenizer.encode("red cells")) == "red cells"
    assert jax.tree.structure(params) == jax.tree.structure(average)
    for read, saved in zip(
        jax.tree.leaves(params), jax.tree.leaves(average), strict=True
    ):
        np.testing.assert_array_equal(read, saved)


def test_a_path_may_be_a_string(trained):
    assert workdirs.read(str(trained[0]))[3] == STEP


@pytest.mark.parametrize("name", ["config.json", "tokenizer.model"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert str(folder / name) in fault(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert str(tmp_path / "nowhere") in fault(tmp_path / "nowhere")


def test_a_folder_without_checkpoints_says_so(folder):
    shutil.rmtree(folder / "checkpoints")
    line = fault(folder)
    assert str(folder) in line and "no checkpoint" in line and "train" in line


@pytest.mark.parametrize("text", ["", "{", '{"seed": 0', "not json"])
def test_a_config_that_is_not_json_is_named(folder, text):
    (folder / "config.json").write_text(text)
    line = fault(folder)
    assert str(folder / "config.json") in line and "JSON" in line


@pytest.mark.parametrize("content", [b"\xff\xfe\x00{", b"[]", b"3", b"null"])
def test_a_config_that_is_no_config_is_an_error(folder, content):
    (folder / "config.json").write_bytes(content)
    fault(folder)


def test_a_config_with_an_unknown_key_names_it(folder):
    saved = json.loads((folder / "config.json").read_text())
    saved["model"]["widht"] = saved["model"].pop("width")
    (folder / "config.json").write_text(json.dumps(saved))
    assert "model.widht" in fault(folder)


def test_another_tokenizer_is_told_from_the_right_one(folder):
    wrong = tokenizer_of(["blue", "rows", "above", "37"])
    right = Tokenizer.load(folder / "tokenizer.model")
    wrong.save(folder / "tokenizer.model")
    line = fault(folder)
    assert str(folder / "tokenizer.model") in line
    assert wrong.content_hash[:12] in line and right.content_hash[:12] in line


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_tokenizer_that_is_none_is_named(folder, content):
    (folder / "tokenizer.model").write_bytes(content)
    assert str(folder / "tokenizer.model") in fault(folder)


def test_a_damaged_checkpoint_names_the_file(folder):
    damaged = array_file(folder)
    flip(damaged)
    line = fault(folder)
    assert "intact" in line and damaged.name in line


def test_a_damaged_newest_checkpoint_is_passed_over(trained, folder):
    tokenizer = Tokenizer.load(folder / "tokenizer.model")
    newer = random_like(trained[1], seed=1)
    save(folder, STEP + 10, newer, tokenizer)
    assert workdirs.read(folder)[3] == STEP + 10
    flip(array_file(folder, STEP + 10))
    _, _, params, step = workdirs.read(folder)
    assert step == STEP
    leaves = zip(jax.tree.leaves(params), jax.tree.leaves(trained[1]), strict=True)
    assert all(np.array_equal(a, b) for a, b in leaves)


def test_a_config_of_another_width_names_the_array_that_does_not_fit(folder):
    saved = json.loads((folder / "config.json").read_text())
    saved["model"]["width"] = 64
    (folder / "config.json").write_text(json.dumps(saved))
    assert "this model needs float32[" in fault(folder)


def test_an_older_checkpoint_is_read_by_its_step(trained, folder):
    tokenizer = Tokenizer.load(folder / "tokenizer.model")
    save(folder, STEP + 10, random_like(trained[1], seed=1), tokenizer)
    _, _, params, step = workdirs.read(folder, step=STEP)
    assert step == STEP
    leaves = zip(jax.tree.leaves(params), jax.tree.leaves(trained[1]), strict=True)
    assert all(np.array_equal(a, b) for a, b in leaves)


def test_a_step_that_is_not_kept_is_an_error_with_those_that_are(folder):
    with pytest.raises(ValueError, match=f"no checkpoint of step 7; .* {STEP}"):
        workdirs.read(folder, step=7)


def test_a_damaged_checkpoint_that_is_asked_for_is_not_passed_over(trained, folder):
    tokenizer = Tokenizer.load(folder / "tokenizer.model")
    save(folder, STEP + 10, random_like(trained[1], seed=1), tokenizer)
    flip(array_file(folder, STEP))
    with pytest.raises(ValueError, match=f"Checkpoint {STEP} .* not intact"):
        workdirs.read(folder, step=STEP)


def without(folder, section, key):
    """Takes a key from the config.json of a folder."""
    path = folder / "config.json"
    given = json.loads(path.read_text())
    del given[section][key]
    path.write_text(json.dumps(given))


def test_a_setting_that_no_weight_depends_on_may_be_newer_than_the_run(folder):
    before, *_ = workdirs.read(folder)
    without(folder, "inference", "num_repairs")
    after, *_ = workdirs.read(folder)
    wanted = config.base().inference.num_repairs
    assert after.inference.num_repairs == wanted
    before.inference.num_repairs = wanted
    assert config.to_json(after) == config.to_json(before)


def test_a_missing_setting_of_training_is_named_with_the_file(folder):
    without(folder, "training", "context_dropout")
    line = fault(folder)
    assert "training.context_dropout is missing" in line and "config.json" in line
