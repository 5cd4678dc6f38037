"""A save goes on while the program does, and nothing of it is lost or mixed up."""

import os
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from codefusion.checkpoints import CheckpointError, Checkpoints, manifest


@pytest.fixture
def held(monkeypatch):
    """Holds every save before its manifest until the event is set."""
    real, released = manifest.write, threading.Event()

    def write(*args):
        assert released.wait(timeout=30)
        real(*args)

    monkeypatch.setattr(manifest, "write", write)
    yield released
    released.set()


@pytest.fixture
def broken(monkeypatch):
    """Makes every save fail in the background."""

    def write(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "write", write)


def state_of(number):
    return {"kernel": np.full((64, 64), number, np.float32)}


def test_a_save_returns_before_it_is_whole_and_is_no_checkpoint_till_then(
    tmp_path, held
):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state_of(1))
    checkpoints.check()
    assert checkpoints.steps() == [] and Checkpoints(tmp_path).latest() is None
    held.set()
    checkpoints.wait()
    assert checkpoints.steps() == [1] and Checkpoints(tmp_path).latest() == 1


def test_the_step_before_is_kept_until_the_new_one_is_whole(tmp_path, held):
    checkpoints = Checkpoints(tmp_path, max_to_keep=1)
    held.set()
    checkpoints.save(1, state_of(1))
    checkpoints.wait()
    held.clear()
    checkpoints.save(2, state_of(2))
    assert Checkpoints(tmp_path).latest() == 1
    held.set()
    checkpoints.wait()
    assert checkpoints.steps() == [2]


def test_training_on_with_donated_arrays_changes_nothing_of_what_is_saved(tmp_path):
    @jax.jit
    def init(key):
        keys = jax.random.split(key, 4)
        return [jax.random.normal(each, (1 << 20,)) for each in keys]

    @jax.jit(donate_argnums=0)
    def step(state):
        return [leaf * 0.5 - 3.0 for leaf in state]

    checkpoints = Checkpoints(tmp_path)
    for trial in range(3):
        state = init(jax.random.key(trial))
        expected = jax.tree.map(np.array, state)
        checkpoints.save(trial, state)
        for _ in range(20):
            state = step(state)
        jax.block_until_ready(state)
        checkpoints.wait()
        found = checkpoints.restore(trial, state)
        assert all(
            np.asarray(a).tobytes() == b.tobytes()
            for a, b in zip(found, expected, strict=True)
        )


def test_what_is_saved_is_what_was_given_although_it_is_written_over(tmp_path, held):
    extra, state = {"note": [1]}, state_of(1)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, extra)
    extra["note"].append(2)
    state["kernel"][:] = 9
    held.set()
    checkpoints.wait()
    assert checkpoints.extra(1) == {"note": [1]}
    assert (checkpoints.restore(1, state)["kernel"] == 1).all()


@pytest.mark.parametrize("call", ["wait", "save", "close"])
def test_the_error_of_a_save_is_raised_by_what_comes_next(tmp_path, broken, call):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state_of(1))
    pattern = r"Checkpoint 1 .*No space left.*MiB needed.*MiB free.*none yet"
    with pytest.raises(CheckpointError, match=pattern):
        getattr(checkpoints, call)(*((2, state_of(2)) if call == "save" else ()))
    assert os.listdir(checkpoints.folder) == []


def test_check_raises_the_error_once_it_is_there_and_once_only(tmp_path, broken):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state_of(1))
    with pytest.raises(CheckpointError, match="No space left"):
        for _ in range(1000):
            checkpoints.check()
            threading.Event().wait(0.01)
    checkpoints.check()
    checkpoints.wait()


def test_after_a_failure_the_same_object_saves_again(tmp_path, monkeypatch, broken):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state_of(1))
    with pytest.raises(CheckpointError):
        checkpoints.wait()
    monkeypatch.undo()
    checkpoints.save(2, state_of(2))
    checkpoints.wait()
    assert Checkpoints(tmp_path).latest() == 2


FAILS_AMID_A_SAVE = """
import sys, threading
import numpy as np
import orbax.checkpoint as ocp
from codefusion.checkpoints import Checkpoints, manifest
reached = threading.Event()
def hang(*args):
    reached.set()
    threading.Event().wait(60)
owner = {"orbax": ocp.PyTreeCheckpointHandler, "manifest": manifest}[sys.argv[2]]
setattr(owner, {"orbax": "finalize", "manifest": "write"}[sys.argv[2]], hang)
Checkpoints(sys.argv[1]).save(1, {"kernel": np.zeros(4)})
assert reached.wait(30)
print("saving", flush=True)
raise SystemExit(3)
"""


@pytest.mark.parametrize("place", ["orbax", "manifest"])
def test_a_program_that_fails_does_not_wait_for_a_save_that_hangs(tmp_path, place):
    process = subprocess.Popen(
        [sys.executable, "-c", FAILS_AMID_A_SAVE, str(tmp_path), place],
        stdout=subprocess.PIPE,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    try:
        assert process.stdout.readline() == b"saving\n"
        start = time.monotonic()
        assert process.wait(timeout=30) == 3
        assert time.monotonic() - start < 15
    finally:
        process.kill()
        process.stdout.close()


def test_minutes_count_from_the_start_of_a_save(tmp_path, monkeypatch, held):
    now = [0.0]
    monkeypatch.setattr("codefusion.checkpoints.store.time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, every_minutes=1.0)
    now[0] = 61.0
    assert checkpoints.due(1)
    checkpoints.save(1, state_of(1))
    now[0] = 100.0
    held.set()
    checkpoints.wait()
    assert not checkpoints.due(2)
    now[0] = 121.0
    assert checkpoints.due(2)
