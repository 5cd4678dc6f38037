"""The tiny run of the repository, stopped on its way: the same bits in the end."""

import importlib.util
import os
import pathlib
import random
import signal
import subprocess
import sys

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from codefusion import assemble, checkpoints, trees, workdirs
from codefusion import config as configs
from codefusion.commands import train
from codefusion.training import loop, optimizers
from codefusion.training import step as steps
from codefusion.training.signals import Stopped

ROOT = pathlib.Path(__file__).parent.parent.parent
BORDER, STEPS = 10, 40


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory):
    """Compiles each program once for all runs here."""
    changes = dict(
        jax_compilation_cache_dir=str(tmp_path_factory.mktemp("cache")),
        jax_persistent_cache_min_compile_time_secs=0.0,
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
    """The checked config: everything that draws is on, and so is the average."""
    path = ROOT / "configs" / "tiny.py"
    spec = importlib.util.spec_from_file_location("tiny_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = assemble.check(module.get_config())
    found.data.size = 200  # making the rows takes longer than all steps
    assert found.model.dropout and found.model.self_conditioning
    found.training.context_dropout = 0.1
    assert found.training.self_conditioning
    assert found.training.ema_decay and found.pretraining.num_steps == BORDER
    assert found.training.num_steps == STEPS - BORDER
    return found


@pytest.fixture(scope="module")
def stop_steps():
    """Steps in the course of which this process is sent a SIGTERM.

    A stage's program is also made once only, as all runs here are of one config:
    tracing it takes longer than all its steps.
    """
    found, programs = set(), {}
    make = loop.steps.make_train_step

    def make_stopping(*args, first_step, **kwargs):
        if first_step not in programs:
            programs[first_step] = make(*args, first_step=first_step, **kwargs)
        train_step = programs[first_step]

        def stopping(state, batch, key):
            state, metrics = train_step(state, batch, key)
            if int(state.step) in found:
                os.kill(os.getpid(), signal.SIGTERM)
            return state, metrics

        return stopping

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.steps, "make_train_step", make_stopping)
        yield found


@pytest.fixture(scope="module")
def whole(tiny, stop_steps, tmp_path_factory):
    """The last state of the run that was never stopped."""
    stop_steps.clear()
    return jax.device_get(train.train(tiny, tmp_path_factory.mktemp("whole")))


def run_with_stops(tiny, workdir, stop_steps):
    """Returns the last state of a run that stops wherever it is told to."""
    for step in sorted(stop_steps):
        with pytest.raises(Stopped) as stopped:
            train.train(tiny, workdir)
        assert stopped.value.step == step
    return jax.device_get(train.train(tiny, workdir))


def differing(first, second):
    """Returns the names of the arrays whose bytes differ."""
    leaves, others = trees.named_leaves(first), jax.tree.leaves(second)
    return [
        name
        for (name, leaf), other in zip(leaves.items(), others, strict=True)
        if leaf.dtype != other.dtype or leaf.tobytes() != other.tobytes()
    ]


def test_two_stops_one_in_each_stage_change_no_bit(tiny, whole, tmp_path, stop_steps):
    assert int(whole.step) == STEPS
    stop_steps.update((4, 23))
    state = run_with_stops(tiny, tmp_path, stop_steps)
    assert differing(state, whole) == []
    _, _, params, step = workdirs.read(tmp_path)
    assert step == STEPS and differing(params, whole.ema_params) == []
    # Else equal bytes would be no news.
    assert differing(whole.params, whole.ema_params)


# The command, in whose course a signal comes at a step: argv is STEP WORKDIR.
COMMAND = """
import os, signal, sys
from codefusion import main
from codefusion.training import loop

make = loop.steps.make_train_step

def make_stopping(*args, **kwargs):
    train_step = make(*args, **kwargs)

    def stopping(*inputs):
        state, metrics = train_step(*inputs)
        if int(state.step) == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGTERM)
        return state, metrics

    return stopping

loop.steps.make_train_step = make_stopping
words = ["train", "--config=configs/tiny.py", f"--workdir={sys.argv[2]}"]
sys.exit(main.main(["codefusion", *words]))
"""


def run_command(workdir, *, stop=0):
    """Runs the command in a process of its own, perhaps to a stop; returns the step."""
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, str(stop), str(workdir)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return checkpoints.Checkpoints(workdir).latest()


def finish(workdir):
    """Runs the command to its end; returns the whole last state."""
    assert run_command(workdir) == STEPS
    config, _, params, _ = workdirs.read(workdir)
    section = config.training
    optimizer = configs.build(optimizers.OPTIMIZERS, section.optimizer)
    optimizer = optimizer.build(section.num_steps)
    like = jax.eval_shape(lambda: steps.init_state(params, optimizer))
    return jax.device_get(checkpoints.Checkpoints(workdir).restore(STEPS, like))


@pytest.mark.slow
def test_the_command_stopped_ten_times_at_random_ends_with_the_same_bits(tmp_path):
    for stop in sorted(random.Random(6).sample(range(1, STEPS), 10)):
        assert run_command(tmp_path / "stopped", stop=stop) == stop
    state, whole = finish(tmp_path / "stopped"), finish(tmp_path / "whole")
    assert differing(state, whole) == []
