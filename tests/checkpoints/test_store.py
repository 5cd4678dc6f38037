import itertools
import json
import logging
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion.checkpoints import (
    CheckpointError,
    Checkpoints,
    disk,
    folders,
    manifest,
)


def make_state(step):
    kernel = jax.random.normal(jax.random.key(step), (16, 32))
    return {
        "step": jnp.asarray(step, jnp.int32),
        "params": {"kernel": kernel, "half": kernel.astype(jnp.bfloat16)},
        "moments": (kernel**2, jnp.asarray(step, jnp.int32)),
    }


def assert_bit_identical(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def like():
    return jax.eval_shape(lambda: make_state(0))


def folder_of(checkpoints, step):
    return pathlib.Path(checkpoints.folder, str(step))


def data_files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of steps 10 and 20, as a new process would find them."""
    checkpoints = Checkpoints(tmp_path, max_to_keep=2)
    for step in (10, 20):
        checkpoints.save(step, make_state(step), {"note": step})
    checkpoints.close()
    return Checkpoints(tmp_path, max_to_keep=2)


def test_what_is_restored_is_what_was_saved(saved):
    assert saved.latest() == 20
    assert_bit_identical(saved.restore(20, like()), make_state(20))
    assert_bit_identical(saved.restore(10, like()), make_state(10))
    assert saved.extra(20) == {"note": 20}


def test_a_part_is_restored_alone(saved):
    part = {"params": like()["params"]}
    assert_bit_identical(saved.restore(20, part), {"params": make_state(20)["params"]})


def test_without_checkpoints_there_is_no_latest(tmp_path):
    assert Checkpoints(tmp_path).latest() is None
    assert list(tmp_path.iterdir()) == []


def test_only_the_newest_steps_are_kept(saved):
    for step in (30, 40):
        saved.save(step, make_state(step))
    saved.wait()
    assert saved.steps() == [30, 40]


def test_a_step_beyond_the_one_saved_was_broken_and_goes(saved):
    saved.save(15, make_state(15))
    saved.wait()
    assert saved.steps() == [10, 15]
    assert Checkpoints(saved.workdir).latest() == 15


def test_a_broken_step_is_replaced_when_it_is_reached_again(saved):
    (folder_of(saved, 20) / "extra.json").write_text("{}")
    assert saved.latest() == 10
    saved.save(20, make_state(20), {"note": "again"})
    saved.wait()
    again = Checkpoints(saved.workdir)
    assert again.latest() == 20
    assert again.extra(20) == {"note": "again"}


def flip_bit(path, rng):
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(path, rng):
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def blank(path, rng):
    path.write_bytes(b"\0" * path.stat().st_size)


def delete(path, rng):
    path.unlink()


@pytest.mark.parametrize("damage", [flip_bit, truncate, blank, delete])
def test_damage_to_any_file_is_named_and_the_step_before_is_used(saved, damage, caplog):
    rng = random.Random(0)
    good = pathlib.Path(saved.workdir) / "good"
    shutil.copytree(folder_of(saved, 20), good)
    for path in data_files(folder_of(saved, 20)):
        relative = path.relative_to(folder_of(saved, 20)).as_posix()
        damage(path, rng)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            step = Checkpoints(saved.workdir).latest()
        assert step == 10, f"{damage.__name__} of {relative} went unnoticed"
        assert "Checkpoint 20" in caplog.text and relative in caplog.text
        assert "step 10" in caplog.text
        shutil.rmtree(folder_of(saved, 20))
        shutil.copytree(good, folder_of(saved, 20))
    assert Checkpoints(saved.workdir).latest() == 20


def test_a_stray_file_is_noticed(saved):
    (folder_of(saved, 20) / "state" / "stray").write_text("x")
    assert "state/stray is not in the manifest" in saved.fault(20)


def test_a_step_whose_folder_cannot_be_read_is_passed_over(saved, monkeypatch, caplog):
    real = disk.walk

    def walk(folder):
        if folder.name == "20":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(disk, "walk", walk)
    assert saved.latest() == 10
    assert "20 is not intact: its folder cannot be read (Permission" in caplog.text


def test_an_error_while_looking_for_the_last_good_step_hides_no_other(
    saved, monkeypatch
):
    def write(*args):
        monkeypatch.setattr(folders, "steps", unreadable)
        raise OSError(28, "No space left on device")

    def unreadable(root):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(manifest, "write", write)
    saved.save(30, make_state(30))
    with pytest.raises(CheckpointError, match=r"No space left.*cannot be listed \(Inp"):
        saved.wait()


def test_a_probe_that_a_kill_left_behind_is_cleared(saved):
    folders.write_probe(saved.folder)
    saved.save(30, make_state(30))
    saved.wait()
    assert sorted(path.name for path in saved.folder.iterdir()) == ["20", "30"]


def test_a_host_that_cannot_look_for_the_probe_says_so(saved, monkeypatch, caplog):
    real = type(saved.folder).exists

    def exists(path):
        if path.name.startswith("probe."):
            raise RuntimeError("503 service unavailable")
        return real(path)

    monkeypatch.setattr(type(saved.folder), "exists", exists)
    with pytest.raises(CheckpointError, match="Host 0 of 1 does not see"):
        saved.prepare()
    assert "cannot be looked up: 503 service unavailable" in caplog.text
    assert sorted(os.listdir(saved.folder)) == ["10", "20"]


def test_when_none_is_intact_each_is_named_and_nothing_starts_anew(saved):
    for step in (10, 20):
        (saved.folder / str(step) / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="Checkpoint 20.*Checkpoint 10"):
        saved.latest()


def test_a_broken_step_asked_for_by_number_is_refused(saved):
    delete(folder_of(saved, 20) / "extra.json", None)
    with pytest.raises(CheckpointError, match="extra.json is missing"):
        saved.restore(20, like())


def test_a_model_of_another_shape_is_refused_by_the_name_of_the_leaf(saved):
    wrong = like()
    wrong["params"]["kernel"] = jax.ShapeDtypeStruct((16, 33), jnp.float32)
    with pytest.raises(CheckpointError, match=r"\[16, 32\] for params/kernel.*33"):
        saved.restore(20, wrong)
    wrong["params"] = {"missing": wrong["params"]["half"]}
    with pytest.raises(CheckpointError, match="has nothing for params/missing"):
        saved.restore(20, wrong)


def test_an_unfinished_save_is_no_checkpoint_and_is_cleared(saved):
    shutil.copytree(folder_of(saved, 20), folder_of(saved, 30))
    (folder_of(saved, 30) / "manifest.json").unlink()
    (saved.folder / "unfinished.30").touch()
    assert saved.steps() == [10, 20] and saved.latest() == 20
    saved.save(40, make_state(40))
    saved.wait()
    assert sorted(path.name for path in saved.folder.iterdir()) == ["20", "40"]


def test_a_committed_save_that_kept_its_mark_is_a_checkpoint(saved):
    (saved.folder / "unfinished.20").touch()
    assert Checkpoints(saved.workdir).latest() == 20
    saved.save(30, make_state(30))
    saved.wait()
    assert sorted(path.name for path in saved.folder.iterdir()) == ["20", "30"]


def test_a_folder_with_neither_manifest_nor_mark_is_damaged_and_named(saved, caplog):
    (folder_of(saved, 20) / "manifest.json").unlink()
    assert saved.steps() == [10, 20]
    assert saved.latest() == 10
    assert "Checkpoint 20 is not intact: file manifest.json is missing" in caplog.text


def test_a_step_saved_twice_keeps_the_first_while_and_after_it(saved):
    def written():
        files = data_files(folder_of(saved, 20))
        return {path: path.stat().st_mtime_ns for path in files}

    before = written()
    saved.save(20, make_state(20), {"note": "again"})
    saved.wait()
    assert written() == before


def test_files_given_with_a_step_are_part_of_it(saved):
    saved.save(30, make_state(30), files={"tokenizer.model": b"pieces"})
    saved.wait()
    assert saved.file(30, "tokenizer.model") == b"pieces"
    with pytest.raises(CheckpointError, match="has no file config.json"):
        saved.file(30, "config.json")
    flip_bit(folder_of(saved, 30) / "tokenizer.model", random.Random(0))
    told = r"file tokenizer.model has sha256 [0-9a-f]{12}, not [0-9a-f]{12}"
    assert re.fullmatch(told, saved.fault(30))


@pytest.mark.parametrize("name", ["state", "extra.json", "manifest.json", "a/b"])
def test_a_file_may_not_take_the_place_of_another(saved, name):
    with pytest.raises(ValueError, match="expected a plain name"):
        saved.save(30, make_state(30), files={name: b""})


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_at_any_call_of_a_save_leaves_an_intact_step(
    saved, monkeypatch, call
):
    real, calls = getattr(os, call), []

    def failing(*args, **options):
        calls.append(args)
        if len(calls) == failing.at:
            raise OSError(5, "Input/output error")
        return real(*args, **options)

    monkeypatch.setattr(os, call, failing)
    good = shutil.copytree(saved.folder, pathlib.Path(saved.workdir) / "good")
    # How many files a save writes varies, so go on to the first that none reaches.
    for at in itertools.count(1):
        calls.clear()
        failing.at = at
        try:
            saved.save(40, make_state(40))
            saved.wait()
            expected = 40  # not reached, or while an old step was removed
        except CheckpointError as error:
            assert re.search("Checkpoint 40.*Input/output error", str(error))
            names = sorted(path.name for path in saved.folder.iterdir())
            assert names == ["10", "20"], "a failed save left something behind"
            expected = 20
        assert Checkpoints(saved.workdir).latest() == expected
        if len(calls) < at:
            break
        shutil.rmtree(saved.folder)
        shutil.copytree(good, saved.folder)
    assert at > 1


def test_a_folder_that_cannot_be_made_is_an_error_before_training(tmp_path):
    # A file in the way: root may write where the mode forbids it.
    (tmp_path / "checkpoints").write_text("in the way")
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be written to .*--workdir"):
        checkpoints.prepare()
    with pytest.raises(CheckpointError, match="there is none yet"):
        checkpoints.save(1, make_state(1))


def test_a_disk_without_room_is_an_error_with_both_figures(saved, monkeypatch):
    usage = shutil.disk_usage(saved.folder)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CheckpointError, match=r"no room.*MiB needed.*MiB free") as info:
        saved.save(30, make_state(30))
    assert "the last good one is step 20" in str(info.value)
    assert Checkpoints(saved.workdir).latest() == 20
    monkeypatch.undo()
    saved.save(30, make_state(30))
    saved.wait()
    assert Checkpoints(saved.workdir).latest() == 30


SAVE_WITH_A_FILE_LIMIT = """
import resource, sys
import numpy as np
from codefusion.checkpoints import CheckpointError, Checkpoints
checkpoints = Checkpoints(sys.argv[1])
state = {"params": np.random.default_rng(0).normal(size=300_000)}
checkpoints.save(1, state)
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    checkpoints.save(2, state)
    checkpoints.wait()
except CheckpointError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limit")
def test_a_write_that_the_system_refuses_keeps_the_last_good_step(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", SAVE_WITH_A_FILE_LIMIT, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "Traceback" not in result.stderr
    assert "Checkpoint 2 could not be saved" in result.stdout
    assert "the last good one is step 1" in result.stdout
    found = Checkpoints(tmp_path)
    assert found.steps() == [1] and found.latest() == 1


def test_a_save_is_due_by_steps_or_by_minutes(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, every_steps=10, every_minutes=2.0)
    assert [n for n in range(1, 31) if checkpoints.due(n)] == [10, 20, 30]
    now[0] = 121.0
    assert checkpoints.due(31)
    checkpoints.save(31, make_state(31))
    assert not checkpoints.due(32)
    assert not Checkpoints(tmp_path).due(100)


def test_keeping_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="max_to_keep is 0"):
        Checkpoints(tmp_path, max_to_keep=0)


def test_the_manifest_lists_every_file(saved):
    envelope = json.loads((folder_of(saved, 20) / "manifest.json").read_text())
    listed = set(json.loads(envelope["body"])["files"])
    folder = folder_of(saved, 20)
    names = {path.relative_to(folder).as_posix() for path in data_files(folder)}
    assert listed == names - {"manifest.json"}
