"""Checkpoints in a bucket, which has neither folders nor renames."""

import importlib.util
import logging
import pathlib

import numpy as np
import pytest

from codefusion.checkpoints import CheckpointError, Checkpoints, disk, manifest

spec = importlib.util.spec_from_file_location(
    "bucket", pathlib.Path(__file__).with_name("bucket.py")
)
bucket = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bucket)

WORKDIR = "gs://bucket/run"
FOLDER = "run/checkpoints"


def state_of(step):
    return {"kernel": np.random.default_rng(step).normal(size=(32, 8)).astype("f4")}


def is_right(checkpoints, step):
    found = checkpoints.restore(step, state_of(step))["kernel"]
    return np.asarray(found).tobytes() == state_of(step)["kernel"].tobytes()


@pytest.fixture(scope="module")
def server():
    with bucket.serve() as objects:
        yield objects


@pytest.fixture
def objects(server):
    """An empty bucket."""
    server.clear()
    bucket.CHANGES.clear()
    return server


def save(*steps, **options):
    checkpoints = Checkpoints(WORKDIR, **options)
    for step in steps:
        checkpoints.save(step, state_of(step), {"step": step}, {"words.model": b"ab"})
    checkpoints.close()
    return Checkpoints(WORKDIR, **options)


def test_what_is_saved_in_a_bucket_is_restored_to_the_bit(objects):
    Checkpoints(WORKDIR).prepare()
    assert not objects
    checkpoints = save(1, 2, 3)
    assert checkpoints.steps() == [2, 3] and checkpoints.latest() == 3
    assert is_right(checkpoints, 3) and is_right(checkpoints, 2)
    assert checkpoints.extra(3) == {"step": 3}
    assert checkpoints.file(3, "words.model") == b"ab"
    assert {name.split("/")[2] for name in objects} == {"2", "3"}


def test_a_save_cut_off_after_any_object_leaves_the_newest_intact_step(objects):
    save(1)
    before, start = dict(objects), len(bucket.CHANGES)
    save(2, max_to_keep=1)
    changes = bucket.CHANGES[start:]
    seen = []
    for count in range(len(changes) + 1):
        objects.clear()
        objects.update(before)
        for name, content in changes[:count]:
            objects.pop(name, None)
            if content is not None:
                objects[name] = content
        found = Checkpoints(WORKDIR).latest()
        committed = f"{FOLDER}/2/manifest.json" in dict(changes[:count])
        assert found == (2 if committed else 1), f"after change {count}: {changes}"
        seen.append(found)
    assert set(seen) == {1, 2} and seen == sorted(seen)


def test_the_next_save_clears_one_that_was_cut_off(objects):
    save(1)
    del objects[f"{FOLDER}/1/manifest.json"]
    bucket.put(f"{FOLDER}/unfinished.1", b"")
    assert Checkpoints(WORKDIR).latest() is None
    assert save(2).steps() == [2]
    assert {name.split("/")[2] for name in objects} == {"2"}


def test_damage_in_a_bucket_is_named_and_passed_over(objects, caplog):
    checkpoints = save(1, 2)
    name = max(
        (n for n in objects if n.startswith(f"{FOLDER}/2/")),
        key=lambda n: len(objects[n]),
    )
    objects[name] = objects[name][:-1] + bytes([objects[name][-1] ^ 1])
    with caplog.at_level(logging.WARNING):
        assert checkpoints.latest() == 1
    assert "Checkpoint 2 is not intact" in caplog.text
    with pytest.raises(CheckpointError, match="Checkpoint 2 in gs://bucket/run"):
        checkpoints.restore(2, state_of(2))


def test_a_mark_that_cannot_be_taken_away_costs_no_committed_step(objects, monkeypatch):
    real = bucket.Bucket.rm_file

    def rm_file(self, path):
        if "unfinished" in path:
            raise RuntimeError("503 service unavailable")
        real(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(bucket.Bucket, "rm_file", rm_file)
        checkpoints = save(1)
    assert f"{FOLDER}/unfinished.1" in objects
    assert checkpoints.latest() == 1 and is_right(checkpoints, 1)
    save(2)
    assert f"{FOLDER}/unfinished.1" not in objects


def test_a_removal_that_fails_hides_not_why_the_save_did(objects, monkeypatch):
    def write(*args):
        raise OSError("quota exceeded")

    def remove_tree(folder):
        raise RuntimeError("503 service unavailable")

    checkpoints = save(1)
    monkeypatch.setattr(manifest, "write", write)
    monkeypatch.setattr(disk, "remove_tree", remove_tree)
    checkpoints.save(2, state_of(2))
    with pytest.raises(CheckpointError, match="quota exceeded.* one is step 1"):
        checkpoints.wait()


def test_a_bucket_that_refuses_is_an_error_that_names_it(objects, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Forbidden")

    save(1)
    monkeypatch.setattr(bucket.Bucket, "_open", refuse)
    checkpoints = Checkpoints(WORKDIR)
    with pytest.raises(CheckpointError, match="gs://bucket/run/checkpoints: Forbidden"):
        checkpoints.prepare()
    with pytest.raises(CheckpointError, match=r"Forbidden \(0.0 MiB needed\)"):
        checkpoints.save(2, state_of(2))
