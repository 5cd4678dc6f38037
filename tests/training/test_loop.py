import dataclasses
import importlib.util
import io
import logging
import os
import pathlib
import random
import shutil
import signal
import threading
import types

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from codefusion.checkpoints import CheckpointError, Checkpoints
from codefusion.training import loop, run
from codefusion.training.progress import Progress
from codefusion.training.records import Records, read_rows
from codefusion.training.signals import Stopped

ROOT = pathlib.Path(__file__).parent.parent.parent
SCRIPT = pathlib.Path(__file__).with_name("toy_run.py")
spec = importlib.util.spec_from_file_location("toy_run", SCRIPT)
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)


class Interruption(Exception):
    """What a test raises to end a run at a step of its choice."""


def at(step, action):
    """Returns an evaluator that calls `action` at one step."""

    def evaluator(now, state):
        if now == step:
            action()
        return {}

    return evaluator


def interrupt():
    raise Interruption


def send(number):
    return lambda: os.kill(os.getpid(), number)


CLOCK = {"examples_per_second", "train_seconds"}


def rows_of_steps(workdir):
    """Returns the rows of a run's metrics but the account of its time."""
    found = read_rows(workdir / "metrics.jsonl")
    return [row for row in found if row["stage"] != "goodput"]


def rows(workdir):
    """Returns the rows of a run's metrics, without what depends on the clock."""
    found = rows_of_steps(workdir)
    return [{k: v for k, v in r.items() if k not in CLOCK} for r in found]


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory):
    """Compiles each program once for all runs here, those of other processes too."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    folder = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(names, (folder, 0.0), strict=True):
            jax.config.update(name, value)
            patch.setenv(name.upper(), str(value))
        compilation_cache.reset_cache()
        yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The work directory and the final fingerprint of a run that was never stopped."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, toy.fingerprint(toy.train(workdir, every=1, keep=30))


def test_a_run_stopped_again_and_again_ends_the_same_to_the_bit(tmp_path, whole):
    reference, fingerprint = whole
    for stop in (1, 7, 12, 13, 29):
        with pytest.raises(Stopped) as stopped:
            toy.train(
                tmp_path, evaluators=[at(stop, send(signal.SIGTERM))], eval_every=1
            )
        assert stopped.value.step == stop and stopped.value.code == 0
        on_disk = toy.fingerprint(toy.restored(tmp_path, stop))
        assert on_disk == toy.fingerprint(toy.restored(reference, stop))
    assert toy.fingerprint(toy.train(tmp_path)) == fingerprint
    reports = [row for row in rows(tmp_path) if row["stage"] != "evaluation"]
    assert reports == rows(reference)


def test_a_run_that_crashed_resumes_to_the_same_bits(tmp_path, whole):
    with pytest.raises(Interruption):
        toy.train(tmp_path, evaluators=[at(18, interrupt)], eval_every=1)
    assert Checkpoints(tmp_path).latest() == 15
    stages = toy.stages()
    stream = io.StringIO()
    state = toy.train(tmp_path, run_stages=stages, stream=stream)
    assert toy.fingerprint(state) == whole[1]
    assert stream.getvalue().splitlines()[:2] == [
        "Resuming from step 15 of 30.",
        "training: compiling the training step.",
    ]
    # Steps 16 to 30 are batches 3 to 17 of the second stage: none twice, none left out.
    assert stages[0].batches.read == []
    assert stages[1].batches.read == list(range(3, 18))


@pytest.mark.slow
def test_ten_random_stops_by_signal_and_by_crash_change_no_bit(tmp_path, whole):
    rng = random.Random(0)
    for trial in range(10):
        action = rng.choice([interrupt, send(signal.SIGTERM), send(signal.SIGINT)])
        stop, workdir = rng.randrange(1, 30), tmp_path / str(trial)
        with pytest.raises((Interruption, Stopped)):
            toy.train(workdir, evaluators=[at(stop, action)], eval_every=1)
        assert toy.fingerprint(toy.train(workdir)) == whole[1], (stop, action)


def test_a_finished_run_is_left_as_it_is(whole):
    workdir, fingerprint = whole
    before = rows(workdir)
    stages, stream = toy.stages(), io.StringIO()
    state = toy.train(workdir, run_stages=stages, stream=stream)
    assert toy.fingerprint(state) == fingerprint
    assert stream.getvalue() == "Nothing left to do: trained 30 of 30 steps.\n"
    assert stages[0].batches.read == stages[1].batches.read == []
    assert rows(workdir) == before


def test_another_seed_ends_elsewhere(tmp_path, whole):
    assert toy.fingerprint(toy.train(tmp_path, seed=1)) != whole[1]


def test_a_broken_checkpoint_is_passed_over_and_the_run_ends_the_same(
    tmp_path, whole, caplog
):
    with pytest.raises(Interruption):
        toy.train(tmp_path, evaluators=[at(22, interrupt)], eval_every=1)
    data = next((tmp_path / "checkpoints" / "20" / "state" / "d").iterdir())
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        state = toy.train(tmp_path)
    assert toy.fingerprint(state) == whole[1]
    assert data.name in caplog.text and "step 15" in caplog.text


def test_a_second_ctrl_c_aborts_without_saving(tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        toy.train(tmp_path, every=2, evaluators=[at(3, twice)], eval_every=1)
    assert Checkpoints(tmp_path).steps() == [2]
    assert signal.getsignal(signal.SIGINT) is before


def test_training_runs_outside_the_main_thread(tmp_path, whole):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(toy.fingerprint(toy.train(tmp_path)))
    )
    thread.start()
    thread.join()
    assert found == [whole[1]]


def test_a_full_disk_stops_the_run_and_keeps_the_last_step(
    tmp_path, whole, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=0)

    def fill():
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(CheckpointError, match="Checkpoint 15 .*last good one is .*12"):
        toy.train(tmp_path, evaluators=[at(13, fill)], eval_every=1)
    monkeypatch.undo()
    assert toy.fingerprint(toy.train(tmp_path)) == whole[1]


CONFIG = {"model": {"width": 4, "dropout": 0.1}, "sampler": {"num_steps": 20}}


def test_a_work_directory_of_another_run_is_refused_with_the_difference(tmp_path):
    short = dict(run_stages=toy.stages(lengths=(2, 2)))
    toy.train(tmp_path, config=CONFIG, tokenizer_hash="abc", **short)
    resampled = CONFIG | {"sampler": {"num_steps": 200}}
    toy.train(tmp_path, config=resampled, tokenizer_hash="abc", **short)

    wider = CONFIG | {"model": {"width": 8, "dropout": 0.1}}
    with pytest.raises(CheckpointError, match="model.width: 4 -> 8") as error:
        toy.train(tmp_path, config=wider, tokenizer_hash="abc", **short)
    assert "dropout" not in str(error.value)
    with pytest.raises(CheckpointError, match='tokenizer hash: "abc" -> "xyz"'):
        toy.train(tmp_path, config=CONFIG, tokenizer_hash="xyz", **short)
    with pytest.raises(CheckpointError, match="seed: 0 -> 3"):
        toy.train(tmp_path, config=CONFIG, tokenizer_hash="abc", seed=3, **short)


def test_other_data_or_another_length_is_refused(tmp_path):
    toy.train(tmp_path, run_stages=toy.stages(lengths=(2, 2)))
    other = toy.stages(lengths=(2, 2))
    other[1].batches.content_hash = "other"
    with pytest.raises(CheckpointError, match="training data hash: .*toy 1.* -> .*ot"):
        toy.train(tmp_path, run_stages=other)
    with pytest.raises(CheckpointError, match="training.num_steps: 2 -> 3"):
        toy.train(tmp_path, run_stages=toy.stages(lengths=(2, 3)))


def test_a_stage_starts_with_a_new_optimizer_and_an_average_at_its_parameters(tmp_path):
    seen = {}

    def look(step, state):
        seen[step] = jax.tree.map(np.array, state)
        return {}

    toy.train(tmp_path, evaluators=[look], eval_every=1)
    before, after = seen[12], seen[13]
    # The first update of a stage averages with decay 1/10.
    expected = 0.1 * before.params["kernel"] + 0.9 * after.params["kernel"]
    np.testing.assert_allclose(after.ema_params["kernel"], expected, rtol=1e-5)
    counts = [
        int(leaf)
        for leaf in jax.tree.leaves(after.opt_state)
        if np.issubdtype(leaf.dtype, np.integer)
    ]
    assert counts and set(counts) == {1}


def test_evaluations_come_when_due_and_at_the_end(tmp_path):
    calls = []

    def evaluator(step, state):
        calls.append(step)
        return {"quality": 1.0 * step}

    toy.train(tmp_path, evaluators=[evaluator], eval_every=8)
    assert calls == [8, 16, 24, 30]
    found = [row for row in rows(tmp_path) if row["stage"] == "evaluation"]
    assert [row["quality"] for row in found] == [8.0, 16.0, 24.0, 30.0]


def test_seconds_of_training_go_on_after_a_stop_and_leave_evaluations_out(
    tmp_path, monkeypatch
):
    now = [0.0]

    def pass_time(seconds=1.0):
        now[0] += seconds
        return now[0]

    for module in (loop, run):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=pass_time))
    pause, stop = at(7, lambda: pass_time(1e6)), at(12, send(signal.SIGTERM))
    with pytest.raises(Stopped):
        toy.train(tmp_path, evaluators=[pause, stop], eval_every=1)
    before = [r["train_seconds"] for r in rows_of_steps(tmp_path)]
    toy.train(tmp_path)
    found = [r["train_seconds"] for r in rows_of_steps(tmp_path)]
    assert found == sorted(found) and found[len(before)] > before[-1] > 12
    assert found[-1] < 1e6


def test_rows_that_a_stage_leaves_out_are_told_with_their_number_in_all(tmp_path):
    stage = dataclasses.replace(toy.stages()[1], left_out={"toy": (1200, 3400)})
    stream = io.StringIO()
    with Records(tmp_path) as records:
        shown = Progress(num_steps=30, stream=stream)
        found = types.SimpleNamespace(records=records, progress=shown)
        run.Run.tell_left_out(found, stage, 12)
    line = "training: 1,200 of 3,400 rows of toy are left out, being longer than "
    assert stream.getvalue().startswith(line)
    assert [row["left_out_toy"] for row in rows(tmp_path)] == [1200]


def test_compilation_does_not_count_in_the_rate(whole):
    spent = [
        r for r in read_rows(whole[0] / "metrics.jsonl") if r["stage"] == "goodput"
    ]
    steps = spent[-1]["seconds_steps"] + spent[-1]["seconds_data_wait"]
    found = rows_of_steps(whole[0])
    counts = np.diff([0, *[row["step"] for row in found]])
    rates = np.array([row["examples_per_second"] for row in found])
    assert np.sum(8 * counts / rates) == pytest.approx(steps, rel=0.05, abs=0.05)


def test_every_step_is_in_one_row_of_the_metrics(whole):
    reports = rows(whole[0])
    assert [row["step"] for row in reports] == [4, 8, 12, 16, 20, 24, 28, 30]
    names = [row["stage"] for row in reports]
    assert names == 3 * ["pretraining"] + 5 * ["training"]
    assert all(np.isfinite(row["loss"]) for row in reports)


def test_a_run_without_steps_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="num_steps is 0"):
        toy.train(tmp_path, run_stages=toy.stages(lengths=(0, 0)))
