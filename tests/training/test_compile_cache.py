import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import warnings

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from codefusion.training import compile_events
from codefusion.training.compile_cache import compile_cache

ROOT = pathlib.Path(__file__).parent.parent.parent
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
    "jax_persistent_cache_enable_xla_caches",
)


def settings():
    return {name: getattr(jax.config, name) for name in SETTINGS}


@pytest.fixture
def set_cache():
    """Returns a function that sets the user's own cache; undone at the end."""
    before = settings()

    def set_to(folder):
        jax.config.update("jax_compilation_cache_dir", folder)
        compilation_cache.reset_cache()

    set_to(None)
    yield set_to
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def compile_something(size):
    return float(jax.jit(lambda x: jnp.sin(x).sum())(jnp.ones(size)))


def programs(folder):
    return sorted(path.name for path in folder.glob("*-cache"))


def test_what_is_compiled_within_is_kept_and_nothing_after(tmp_path, set_cache):
    compile_something(10)
    before = settings()
    with compile_cache(tmp_path):
        compile_something(11)
    kept = programs(tmp_path / "compile_cache")
    assert kept
    assert settings() == before
    compile_something(12)
    assert programs(tmp_path / "compile_cache") == kept


def test_each_work_directory_has_its_own(tmp_path, set_cache):
    for name in ("a", "b"):
        jax.clear_caches()
        with compile_cache(tmp_path / name):
            compile_something(13)
    for name in ("a", "b"):
        assert programs(tmp_path / name / "compile_cache")


def test_what_is_kept_is_used_the_next_time(tmp_path, set_cache):
    folder = tmp_path / "compile_cache"
    kept = []
    for _ in range(2):
        jax.clear_caches()
        with compile_cache(tmp_path):
            compile_something(16)
        kept.append(
            {path.name: path.stat().st_mtime_ns for path in folder.glob("*-c*")}
        )
    assert kept[0] == kept[1] != {}


def test_the_settings_return_after_an_error(tmp_path, set_cache):
    before = settings()
    with pytest.raises(KeyError), compile_cache(tmp_path):
        raise KeyError
    assert settings() == before


def test_a_folder_that_cannot_be_written_to_is_done_without(
    tmp_path, set_cache, caplog
):
    (tmp_path / "compile_cache").write_text("in the way")
    with compile_cache(tmp_path):
        assert jax.config.jax_compilation_cache_dir is None
        compile_something(14)
    assert "Compiled programs are not kept" in caplog.text


def test_a_cache_that_the_user_has_set_is_left_alone(tmp_path, set_cache):
    set_cache(str(tmp_path / "own"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    with compile_cache(tmp_path / "run"):
        compile_something(15)
    assert programs(tmp_path / "own")
    assert not (tmp_path / "run").exists()


def start(workdir, size=17):
    """Returns how many programs a start compiles, and how many it reads."""
    counts = collections.Counter()
    jax.clear_caches()
    with (
        compile_events.listening(
            begin=lambda phase: None,
            end=lambda phase: counts.update([phase]),
            event=lambda name: counts.update([name]),
        ),
        compile_cache(workdir),
    ):
        compile_something(size)
    cached = counts[compile_events.CACHE_HIT]
    return counts[compile_events.COMPILE] - cached, cached


def test_the_second_start_compiles_nothing(tmp_path, set_cache):
    compiled, cached = start(tmp_path)
    assert compiled > 1 and cached == 0
    assert start(tmp_path) == (0, compiled)


def test_a_work_directory_that_has_moved_compiles_nothing(tmp_path, set_cache):
    compiled, _ = start(tmp_path / "before")
    shutil.move(tmp_path / "before", tmp_path / "after")
    assert start(tmp_path / "after") == (0, compiled)


def largest(workdir):
    entries = (workdir / "compile_cache").glob("*-cache")
    return max(entries, key=lambda path: path.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty_the_seal(path):
    path.with_name(f"{path.name}.sha256").write_text("")


def remove_the_seal(path):
    path.with_name(f"{path.name}.sha256").unlink()


# A kill in the middle of an entry leaves half of it, and no seal.
def tear(path):
    truncate(path)
    remove_the_seal(path)


@pytest.mark.parametrize(
    "harm", [truncate, flip_a_bit, empty_the_seal, remove_the_seal, tear]
)
def test_a_damaged_entry_is_compiled_once_more_and_then_whole(
    tmp_path, set_cache, harm
):
    compiled, _ = start(tmp_path)
    harm(largest(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # jax warns of an entry that it cannot read
        assert start(tmp_path) == (1, compiled - 1)
        assert start(tmp_path) == (0, compiled)


def test_an_entry_is_sealed_as_soon_as_it_is_compiled(tmp_path, set_cache):
    with compile_cache(tmp_path):
        compile_something(18)
        for name in programs(tmp_path / "compile_cache"):
            assert (tmp_path / "compile_cache" / f"{name}.sha256").exists(), name


def test_threads_that_compile_at_once_leave_whole_entries(tmp_path, set_cache):
    jax.clear_caches()
    with compile_cache(tmp_path):
        threads = [
            threading.Thread(target=compile_something, args=(size,))
            for size in range(20, 28)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert [start(tmp_path, size)[0] for size in range(20, 28)] == 8 * [0]


def test_within_another_cache_there_is_but_the_outer_one(tmp_path, set_cache):
    with compile_cache(tmp_path / "outer"), compile_cache(tmp_path / "inner"):
        compile_something(19)
    assert programs(tmp_path / "outer" / "compile_cache")
    assert not (tmp_path / "inner").exists()


# Trains in a process of its own; tells of each program whether it was read.
COUNTED = """
import json, sys
import jax
from codefusion import main
from codefusion.training import compile_events as events

programs, hits = [], []

def on_duration(name, seconds, fun_name=None, **details):
    if name == events.COMPILE:
        programs.append([fun_name, bool(hits)])
        hits.clear()

def on_event(name, **details):
    if name == events.CACHE_HIT:
        hits.append(name)

jax.monitoring.register_event_duration_secs_listener(on_duration)
jax.monitoring.register_event_listener(on_event)
words = ["train", "--config=configs/tiny.py", f"--workdir={sys.argv[1]}"]
code = main.main(["codefusion", *words])
print(json.dumps(programs))
sys.exit(code)
"""


def train(workdir):
    """Returns (name, whether it was read from the cache) of the command's programs."""
    ended = subprocess.run(
        [sys.executable, "-c", COUNTED, str(workdir)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_second_start_of_the_tiny_config_compiles_nothing(tmp_path):
    programs = train(tmp_path)
    assert not any(cached for _, cached in programs)
    # Once for each stage: the state of the first step is of the type of all others.
    assert [name for name, _ in programs].count("jit(train_step)") == 2
    # As if it had died after step 30 of 40: the second start trains ten steps.
    shutil.rmtree(tmp_path / "checkpoints" / "40")
    programs = train(tmp_path)
    assert "jit(train_step)" in {name for name, _ in programs}
    assert [name for name, cached in programs if not cached] == []
    assert (tmp_path / "checkpoints" / "40").is_dir()
