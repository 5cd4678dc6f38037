"""What makes two runs the same: all that their parameters depend on, and no more."""

import pytest

from codefusion import config
from codefusion.checkpoints import CheckpointError
from codefusion.training import resuming


def identity(**changes):
    """Returns the identity of the base config under changes of `training`."""
    chosen = config.base()
    chosen.training.update(changes)
    return resuming.identify((), seed=0, config=chosen.to_dict())


def test_a_setting_that_came_later_had_its_default():
    before = identity()
    del before["training.estimate_noise"]
    assert resuming.differences(before, identity()) == []
    lines = resuming.differences(before, identity(estimate_noise=0.5))
    assert lines == ["training.estimate_noise: 0.0 -> 0.5"]


def test_a_setting_that_is_gone_is_a_difference():
    before = identity() | {"training.gone": "1"}
    assert resuming.differences(before, identity()) == ["training.gone: 1 -> (absent)"]


def test_only_what_no_parameter_depends_on_may_change():
    resuming.check_same_run(identity(), identity(log_every=7), workdir="runs/a")
    with pytest.raises(CheckpointError, match=r"runs/a .*training.batch_size: 32 -> 8"):
        resuming.check_same_run(identity(), identity(batch_size=8), workdir="runs/a")
