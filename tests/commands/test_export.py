"""An export is what was trained, to the bit, and says on its card what it is."""

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest

import codefusion
from codefusion import assemble, config, main, workdirs
from codefusion.checkpoints import Checkpoints
from codefusion.commands import export, model_card
from codefusion.data.tokenizer import Tokenizer
from codefusion.models import exported

ROOT = pathlib.Path(__file__).parents[2]
SCORES = next(ROOT.glob("results/runs/quickstart_seed0/scores/*.json"))


def config_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, averages by step): a work directory with steps 10 and 20."""
    checked = assemble.check(config_of(ROOT / "configs" / "tiny.py"))
    words = ["red", "cells", "below", "25"]
    texts = [f"{a} {b} {c}" for a in words for b in words for c in words]
    tokenizer = Tokenizer.train(texts, vocab_size=300)
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.json").write_text(config.to_json(checked))
    tokenizer.save(folder / "tokenizer.model")
    model = assemble.parts(checked, tokenizer.vocab_size).model
    like = jax.eval_shape(lambda: assemble.init_params(checked, model))
    identity = {
        "tokenizer hash": json.dumps(tokenizer.content_hash),
        "training data hash": json.dumps("d" * 64),
    }
    checkpoints, averages = Checkpoints(folder), {}
    for step in (10, 20):
        rng = np.random.default_rng(step)
        average = jax.tree.map(lambda a, r=rng: draw(r, a), like)
        state = dict(params=jax.tree.map(lambda a: a + 1, average), ema_params=average)
        checkpoints.save(step, state, {"identity": identity, "train_seconds": 1234.5})
        averages[step] = average
    checkpoints.close()
    (folder / "scores").mkdir()
    for step in (10, 999):
        scores = json.loads(SCORES.read_text())
        scores["header"].update(checkpoint_step=step, dataset=f"set{step}")
        (folder / "scores" / f"{step}.json").write_text(json.dumps(scores))
    return folder, averages


def draw(rng, leaf):
    return rng.normal(size=leaf.shape).astype(leaf.dtype)


@pytest.fixture(scope="module")
def published(trained, tmp_path_factory):
    """The export of step 20."""
    out = tmp_path_factory.mktemp("published") / "model"
    assert export.write(trained[0], out) == 20
    return out


@pytest.fixture
def copied(published, tmp_path):
    """A copy of the export, to be damaged."""
    return shutil.copytree(published, tmp_path / "model")


def same(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


def test_an_export_holds_the_averaged_parameters_to_the_bit(trained, published):
    _, _, params, step = workdirs.read(published)
    assert step == 20
    assert jax.tree.structure(params) == jax.tree.structure(trained[1][20])
    assert same(params, trained[1][20])


def test_other_programs_read_the_same_numbers(trained, published):
    from safetensors import numpy as safetensors_numpy

    found = safetensors_numpy.load_file(published / "model.safetensors")
    expected = exported.named(trained[1][20])
    assert found.keys() == expected.keys()
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)


def card_of(folder):
    """Returns the card, its columns not padded."""
    return re.sub(" +", " ", (folder / "README.md").read_text())


def test_a_step_of_choice_replaces_an_older_export(trained, copied, capsys):
    words = [f"--workdir={trained[0]}", f"--out={copied}", "--step=10"]
    assert main.main(["codefusion", "export", *words]) == 0
    assert "Exported step 10" in capsys.readouterr().err
    assert same(workdirs.read(copied)[2], trained[1][10])
    with pytest.raises(ValueError, match="is an export of step 10, not of step 20"):
        workdirs.read(copied, step=20)
    with pytest.raises(ValueError, match="is an export itself"):
        export.extra_of(copied, 10)
    card = card_of(copied)
    assert "| set10 test (generated) | 100 |" in card
    assert "89.0 [83.0, 95.0]" in card and "set999" not in card
    assert "before the numbers were rounded" not in card
    export.write(trained[0], copied, step=10, dtype="float16")
    assert "Scored before the numbers were rounded to float16." in card_of(copied)


def test_float16_halves_the_file_and_rounds_it(trained, published, tmp_path):
    words = [f"--workdir={trained[0]}", f"--out={tmp_path / 'half'}", "--dtype=float16"]
    assert main.main(["codefusion", "export", *words]) == 0
    file, whole = tmp_path / "half" / exported.FILE, published / exported.FILE
    assert file.stat().st_size < 0.52 * whole.stat().st_size
    found = workdirs.read(tmp_path / "half")[2]
    expected = jax.tree.map(lambda a: a.astype("float16"), trained[1][20])
    assert same(found, jax.tree.map(lambda a: a.astype("float32"), expected))
    assert "`model.safetensors` (float16)" in card_of(tmp_path / "half")
    assert "`model.safetensors` (float32)" in card_of(published)


def test_numbers_beyond_float16_are_refused():
    with pytest.raises(ValueError, match="a.b has numbers beyond float16"):
        export.rounded({"a": {"b": np.full(3, 1e6, np.float32)}}, "float16")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value, dtype):
    with pytest.raises(ValueError, match="a.b has numbers that are not finite"):
        export.rounded({"a": {"b": np.full(3, value, np.float32)}}, dtype)


def test_load_gives_the_model_of_an_export_as_of_its_work_directory(trained, published):
    mine, its = codefusion.load(trained[0]), codefusion.load(published)
    assert its.step == mine.step and config.diff(its.config, mine.config) == {}
    assert its.tokenizer.model == mine.tokenizer.model
    assert same(its.params, mine.params)


def test_the_card_counts_every_parameter_and_names_data_and_files(trained, published):
    card = card_of(published)
    count = sum(leaf.size for leaf in jax.tree.leaves(trained[1][20]))
    assert f"| **all** | **{count:,}** |" in card
    assert "d" * 64 in card and "1,234" in card and "license: apache-2.0" in card
    assert "This step was not evaluated" in card
    for path in published.iterdir():
        line = f"| {path.name} | {path.stat().st_size:,} |"
        assert path.name == "README.md" or line in card


def test_data_of_others_changes_the_license(trained, published):
    chosen = config.validate(config_of(ROOT / "configs" / "conala.py"))
    assert model_card.sources(chosen) == ["conala", "python_docs"]
    chosen.pretraining.num_steps = 10
    assert model_card.sources(chosen) == ["conala", "python_corpus", "python_docs"]
    card = model_card.text(
        trained[0],
        published,
        chosen,
        Tokenizer.load(trained[0] / "tokenizer.model"),
        trained[1][20],
        {"step": 20},
    )
    assert "license: other" in card
    assert re.search(r"\| conala +\| CoNaLa .*CC BY-SA 4.0", card)
    assert re.search(r"\| python_corpus +\| CoNaLa, Django", card)


def test_the_config_beside_it_trains_it_again(trained, published):
    again = assemble.check(config_of(published / "config.py"))
    saved = config.from_json((trained[0] / "config.json").read_text())
    assert config.diff(saved, again) == {}


def test_a_flipped_bit_anywhere_in_the_numbers_is_noticed(trained, copied):
    def read():
        return exported.read(copied, like, tokenizer_hash=tokenizer.content_hash)

    like, file = trained[1][20], copied / "model.safetensors"
    tokenizer = Tokenizer.load(copied / "tokenizer.model")
    content = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    for at in np.random.default_rng(0).integers(start, len(content), 20):
        content[at] ^= 1
        file.write_bytes(content)
        with pytest.raises(ValueError, match="not as it was written"):
            read()
        content[at] ^= 1
    file.write_bytes(content)
    assert same(read()[0], like)


def test_parts_of_two_exports_are_refused(copied):
    other = Tokenizer.train(["a b c"] * 9, vocab_size=280)
    settings = json.loads((copied / "config.json").read_text())
    settings["model"]["mlp_width"] += 1
    (copied / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"model.safetensors: .* expected \(\d+, 65\)"):
        workdirs.read(copied)
    settings["model"]["mlp_width"] -= 1
    (copied / "config.json").write_text(json.dumps(settings))
    other.save(copied / "tokenizer.model")
    with pytest.raises(ValueError, match="model.safetensors"):
        workdirs.read(copied)


@pytest.mark.parametrize(
    ("names", "out", "fault"),
    [
        ((), None, "needs --out=DIR"),
        (("notes.txt",), "model", "holds notes.txt; expected a new folder"),
        (("checkpoints", "model.safetensors"), "model", "holds checkpoints"),
    ],
)
def test_nothing_is_written_over(trained, tmp_path, names, out, fault):
    (tmp_path / "model").mkdir()
    for name in names:
        (tmp_path / "model" / name).touch()
    with pytest.raises(ValueError, match=fault):
        export.check_out(out and str(tmp_path / out), trained[0])


@pytest.mark.parametrize("at", [0, 1])
def test_an_export_that_was_cut_off_is_made_anew(trained, tmp_path, monkeypatch, at):
    real, calls = os.replace, []

    def replace(partial, path):
        calls.append(path)
        if len(calls) > at:
            shutil.copy(partial, f"{path}.1234.partial")  # as a kill leaves it
            raise KeyboardInterrupt
        real(partial, path)

    out = tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with contextlib.suppress(KeyboardInterrupt):
            export.write(trained[0], out)
    assert export.check_out(str(out), trained[0]) == out
    assert export.write(trained[0], out) == 20
    assert len(list(out.iterdir())) == 5 and not list(out.glob("*.partial"))
    assert ".partial" not in (out / "README.md").read_text()


def test_a_write_that_went_wrong_is_noticed(published):
    read = workdirs.read(published)
    for part, file in ((1, "tokenizer.model"), (2, exported.FILE)):
        wrong = list(read)
        wrong[part] = changed(read[part])
        with pytest.raises(ValueError, match=f"{file} is not what was written"):
            export.check_equal(published, *wrong)


def changed(value):
    """Returns a tokenizer or parameters unlike the given."""
    if isinstance(value, Tokenizer):
        return Tokenizer.train(["a b c"] * 9, vocab_size=280)
    return jax.tree.map(lambda a: a * 2, value)
