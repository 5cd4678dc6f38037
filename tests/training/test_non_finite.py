import importlib.util
import pathlib

import jax
import numpy as np
import pytest

from codefusion.checkpoints import Checkpoints
from codefusion.training.records import read_rows
from codefusion.training.watch import NonFiniteError

SCRIPT = pathlib.Path(__file__).with_name("toy_run.py")
spec = importlib.util.spec_from_file_location("toy_run", SCRIPT)
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The work directory of a run without a fault, with every checkpoint."""
    workdir = tmp_path_factory.mktemp("whole")
    toy.train(workdir, every=1, keep=30)
    return workdir


# Step 20 is saved, and 30 is the last.
@pytest.mark.parametrize(("step", "poison"), [(20, np.inf), (30, np.nan)])
def test_a_non_finite_step_stops_the_run_and_is_never_saved(
    tmp_path, whole, step, poison
):
    index = step - 13
    stages = toy.stages(poison={index: poison})
    with pytest.raises(NonFiniteError) as error:
        toy.train(tmp_path, run_stages=stages)
    message = str(error.value)
    assert f"Step {step} " in message and f"batch {index} of stage training" in message
    assert f"({0}, {8 * index})" in message
    assert "loss = " in message and "error = " in message and "size = " not in message
    saved = Checkpoints(tmp_path).latest()
    assert saved == max(n for n in (5, 10, 12, 15, 20, 25) if n < step)
    assert f"step {saved}." in message
    on_disk = toy.restored(tmp_path, saved)
    assert toy.fingerprint(on_disk) == toy.fingerprint(toy.restored(whole, saved))
    kept = np.load(tmp_path / f"not_finite_step_{step}.npz")
    np.testing.assert_array_equal(kept["outputs"], stages[1].batches[index]["outputs"])
    assert kept["examples"].tolist() == [[0, 8 * index + k] for k in range(8)]


def test_a_non_finite_gradient_is_named_by_its_parameter_and_the_batch_by_its_leaf(
    tmp_path,
):
    with pytest.raises(NonFiniteError) as error:
        toy.train(tmp_path, run_stages=toy.stages(poison={0: np.nan}))
    message = str(error.value)
    assert "gradient bias, kernel" in message and "batch outputs" in message
    assert "parameters" not in message


def test_a_parameter_that_is_not_finite_is_named_and_stops_the_run(tmp_path):
    def spoil(params):
        return params | {"bias": params["bias"].at[0, 1].set(np.nan)}

    for policy in ("stop", "skip"):  # every later step would be left out
        with pytest.raises(NonFiniteError, match="parameters bias") as error:
            toy.train(tmp_path / policy, load=spoil, on_non_finite=policy)
        assert "batch outputs" not in str(error.value)


def test_in_skip_mode_exactly_the_bad_batches_are_left_out(tmp_path):
    poison = {2: np.nan, 9: np.inf}
    stages = toy.stages(poison=poison)
    state = toy.train(tmp_path, run_stages=stages, on_non_finite="skip", every=1)
    assert int(state.step) == 30
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    rows = read_rows(tmp_path / "metrics.jsonl")
    skipped = [row for row in rows if "skipped_batch" in row]
    assert [(row["step"], row["skipped_batch"]) for row in skipped] == [
        (15, 2),
        (22, 9),
    ]
    # The last two checkpoints are kept, so another run is stopped at the bad batch.
    states = []
    for steps in (2, 3):
        workdir = tmp_path / str(steps)
        run_stages = toy.stages(lengths=(12, steps), poison=poison)
        toy.train(workdir, run_stages=run_stages, on_non_finite="skip")
        states.append(toy.restored(workdir, 12 + steps))
    assert toy.fingerprint(states[0].params) == toy.fingerprint(states[1].params)
    assert toy.fingerprint(states[0].ema_params) == toy.fingerprint(
        states[1].ema_params
    )
    optimizers = [toy.fingerprint(state.opt_state) for state in states]
    assert optimizers[0] == optimizers[1]
