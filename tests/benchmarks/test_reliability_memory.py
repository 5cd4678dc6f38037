"""The toy's memory over a short run; the full set is `make test-reliability`."""

import gc
import types

import pytest

from benchmarks.reliability import harness, memory
from benchmarks.reliability.runs import Settings
from benchmarks.reliability.toy import Toy


@pytest.fixture
def few_objects():
    """Leaves what earlier tests made out of each collection, which is slow with it."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("few_objects")
def test_a_run_opens_nothing_and_compiles_nothing_once_warm(tmp_path):
    settings = Settings(steps=100, every=10)
    programs = memory.Programs()
    looks = memory.train(Toy(pause=0.0), tmp_path, settings, programs, number=20)
    missed = harness.missed(looks.held("steps"))
    assert len(looks.memory) == 20
    # So short a run says nothing of memory: pools are still being filled.
    assert [line for line in missed if "growth" not in line] == []


@pytest.mark.parametrize(
    ("series", "change", "missed"),
    [
        ("memory", 21_000_000, "under 20.0 MB of growth in steps"),
        ("compiled", 1, "nothing compiled in steps"),
        ("files", 1, "no more open files in steps"),
    ],
)
def test_what_grows_after_the_warm_up_is_seen(series, change, missed):
    values = dict(memory=[5, *[10] * 9], files=[5, *[10] * 9], compiled=[5, *[10] * 9])
    looks = memory.Looks(types.SimpleNamespace(), **values)
    assert harness.missed(looks.held("steps")) == []
    getattr(looks, series)[7] += change
    assert harness.missed(looks.held("steps")) == [missed]
