"""After training only how to sample and score may change, and nothing in silence."""

import types

import pytest

from codefusion import config
from codefusion.commands import sample, trained


@pytest.fixture
def saved():
    """The config of a work directory whose data files were in some folder."""
    found = config.base()
    found.data = dict(name="nl2bash", source_length=40, target_length=40, data_dir="x")
    return config.validate(found)


def changed(saved, key, value):
    wanted = config.validate(saved)
    wanted.update_from_flattened_dict({key: value})
    return wanted


@pytest.mark.parametrize("key", ["data.scheme", "model.width", "diffusion.loss.name"])
def test_what_was_trained_does_not_change_by_file_or_flag(saved, key):
    wanted = changed(saved, key, 48 if key == "model.width" else "released")
    for overrides in ((), (key,), (key.rpartition(".")[0],)):
        with pytest.raises(ValueError, match=f"{key} is .*trained with .*sampler"):
            trained.check_unchanged(saved, wanted, overrides)


@pytest.mark.parametrize("key", ["training.num_steps", "pretraining.batch_size"])
def test_an_override_that_would_not_act_is_an_error(saved, key):
    wanted = changed(saved, key, 7)
    with pytest.raises(ValueError, match=f"{key} is 7, but the work directory"):
        trained.check_unchanged(saved, wanted, (key,))
    trained.check_unchanged(saved, wanted)  # the file of a shortened run


def test_an_override_may_repeat_what_was_trained(saved):
    trained.check_unchanged(saved, saved, ("training.num_steps", "model"))


@pytest.mark.parametrize("key", ["sampler.num_steps", "inference.num_draws"])
def test_sampling_may_change(saved, key):
    trained.check_unchanged(saved, changed(saved, key, 33), (key,))


def test_the_folder_of_the_data_files_may_change(saved):
    without = config.validate(saved)
    del without.data["data_dir"]
    for wanted in (changed(saved, "data.data_dir", "y"), without):
        trained.check_unchanged(saved, wanted, ("data.data_dir",))


def test_sample_looks_at_the_work_directory_before_it_reads_stdin():
    call = types.SimpleNamespace(words=(), flags=types.SimpleNamespace(workdir=None))
    with pytest.raises(ValueError, match="sample needs --workdir"):
        sample.run(call)
