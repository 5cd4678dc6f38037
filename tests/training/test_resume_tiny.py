"""The tiny run of the repository, stopped on its way: the same bits in the end."""

import importlib.util
import os
import pathlib
import random
import signal

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from codefusion import assemble, workdirs
from codefusion.commands import train
from codefusion.training import loop
from codefusion.training.signals import Stopped

ROOT = pathlib.Path(__file__).parent.parent.parent
BORDER, STEPS = 10, 40


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory):
    """Compiles each program once, and quickly, for all runs here."""
    changes = dict(
        jax_compilation_cache_dir=str(tmp_path_factory.mktemp("cache")),
        jax_persistent_cache_min_compile_time_secs=0.0,
        jax_disable_most_optimizations=True,
    )
    before = {name: jax.config.values[name] for name in changes}
    for name, value in changes.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def tiny():
    """The checked config: dropout, an average and self-conditioning are on."""
    path = ROOT / "configs" / "tiny.py"
    spec = importlib.util.spec_from_file_location("tiny_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = assemble.check(module.get_config())
    assert found.model.dropout and found.model.self_conditioning
    assert found.training.self_conditioning and found.training.context_dropout
    assert found.training.ema_decay and found.pretraining.num_steps == BORDER
    assert found.training.num_steps == STEPS - BORDER
    return found


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The last state of the run that was never stopped."""
    return jax.device_get(train.train(tiny, tmp_path_factory.mktemp("whole")))


def stop_after(monkeypatch, step):
    """Sends this process a SIGTERM in the course of a step."""
    make = loop.steps.make_train_step

    def make_stopping(*args, **kwargs):
        train_step = make(*args, **kwargs)

        def stopping(state, batch, key):
            state, metrics = train_step(state, batch, key)
            if int(state.step) == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return state, metrics

        return stopping

    monkeypatch.setattr(loop.steps, "make_train_step", make_stopping)


def run_with_stops(tiny, workdir, stops):
    """Returns the last state of a run that stops after each of some steps."""
    for step in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, step)
            with pytest.raises(Stopped) as stopped:
                train.train(tiny, workdir)
        assert stopped.value.step == step
    return jax.device_get(train.train(tiny, workdir))


def differing(first, second):
    """Returns the names of the arrays whose bytes differ."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(first)
    others = jax.tree.leaves(second)
    assert len(leaves) == len(others)
    return [
        jax.tree_util.keystr(path)
        for (path, leaf), other in zip(leaves, others, strict=True)
        if leaf.dtype != other.dtype or leaf.tobytes() != other.tobytes()
    ]


def test_two_stops_one_in_each_stage_change_no_bit(tiny, whole, tmp_path):
    assert int(whole.step) == STEPS
    state = run_with_stops(tiny, tmp_path, stops=(4, 23))
    assert differing(state, whole) == []
    _, _, params, step = workdirs.read(tmp_path)
    assert step == STEPS and differing(params, whole.ema_params) == []
    # Else equal bytes would be no news.
    assert differing(whole.params, whole.ema_params)


@pytest.mark.slow
def test_ten_random_stops_change_no_bit(tiny, whole, tmp_path):
    rng = random.Random(6)
    for trial in range(10):
        stop = rng.randrange(1, STEPS)
        state = run_with_stops(tiny, tmp_path / str(trial), stops=(stop,))
        assert differing(state, whole) == [], f"stopped after step {stop}"
        assert np.isfinite(jax.tree.leaves(state.params)[0]).all()
