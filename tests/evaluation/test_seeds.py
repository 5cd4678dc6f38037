"""Configs differ in what acts: a setting that one lacks is none at its default."""

import pytest

from codefusion import config
from codefusion.evaluation import seeds


def without(*keys):
    """Returns the base without some keys, plain."""
    found = config.base().to_dict()
    for key in keys:
        *path, last = key.split(".")
        section = found
        for name in path:
            section = section[name]
        del section[last]
    return found


@pytest.mark.parametrize(
    "key",
    [
        "inference.guidance",
        "sampler.eta",
        "model.attention",
        "training.estimate_noise",
    ],
)
def test_a_config_without_a_setting_equals_one_with_its_default(key):
    older, newer = without(key), config.base()
    section, _, last = key.partition(".")
    assert seeds.differences(older, newer) == seeds.differences(newer, older) == []
    newer[section][last] = 0.5
    assert seeds.differences(older, newer) == seeds.differences(newer, older) == [key]


def test_the_default_of_a_choice_is_its_constructors_own():
    base, other = config.base(), config.base()
    base.sampler = dict(name="ddpm", num_steps=20)
    other.sampler = dict(name="ddpm")
    # 1200 where it is not given, and not the base's 20 of another sampler.
    assert seeds.differences(other, base) == ["sampler.num_steps"]
    base.sampler.num_steps = 1200
    assert seeds.differences(other, base) == []


def test_a_key_that_is_no_more_is_a_difference():
    older = config.base().to_dict()
    older["inference"]["gone"] = None
    assert seeds.differences(older, config.base()) == ["inference.gone"]
