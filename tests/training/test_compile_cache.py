import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from codefusion.training.compile_cache import compile_cache


@pytest.fixture
def set_cache():
    """Returns a function that sets the user's own cache; undone at the end."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}

    def set_to(folder):
        jax.config.update("jax_compilation_cache_dir", folder)
        compilation_cache.reset_cache()

    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
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
    with compile_cache(tmp_path):
        compile_something(11)
    kept = programs(tmp_path / "compile_cache")
    assert kept
    assert jax.config.jax_compilation_cache_dir is None
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


def test_the_setting_returns_after_an_error(tmp_path, set_cache):
    with pytest.raises(KeyError), compile_cache(tmp_path):
        raise KeyError
    assert jax.config.jax_compilation_cache_dir is None


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
    with compile_cache(tmp_path / "run"):
        compile_something(15)
    assert programs(tmp_path / "own")
    assert not (tmp_path / "run").exists()
