"""A few cases of the toy; the full set is `make test-reliability`."""

import pytest

from benchmarks.reliability import harness, non_finite
from benchmarks.reliability.non_finite import Case
from benchmarks.reliability.toy import Toy


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    with harness.compiled_once(root):
        yield non_finite.Judge(Toy(pause=0.0), root)


@pytest.mark.parametrize(
    "case",
    [
        Case("loss", 1, 10, "stop"),
        Case("gradient", 2, 11, "stop"),
        Case("parameter", 1, 1, "stop"),
        Case("parameter", 1, 1, "skip"),
        Case("batch", 2, 12, "stop"),
        Case("batch", 1, 13, "skip"),
    ],
)
def test_a_number_that_is_not_finite_is_stopped_or_skipped_and_named(judge, case):
    assert judge.faults(case) == []


def test_there_is_a_case_for_each_place_value_and_policy():
    cases = non_finite.every_case()
    assert len({(c.place, c.value, c.policy) for c in cases}) == 16
    assert len(cases) == len(set(cases)) == 76
