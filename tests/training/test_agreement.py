import jax
import pytest

from codefusion import sharding
from codefusion.training import agreement
from codefusion.training.watch import LAG


@pytest.fixture
def mesh():
    return sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])


def test_one_process_is_granted_at_once(mesh):
    alone = agreement.Agreement(mesh)
    for wish in ((True, False), (False, True), (False, False)):
        assert alone.agree(stop=wish[0], save=wish[1]) == wish


@pytest.fixture
def several(mesh, monkeypatch):
    """What one of two processes has, the other of which wishes nothing."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    return agreement.Agreement(mesh)


def test_of_several_a_wish_is_granted_as_late_as_metrics_are_read(several):
    wishes = [step == 3 for step in range(10)]
    granted = [several.agree(stop=wish, save=False) for wish in wishes]
    assert granted.index((True, False)) == 3 + LAG
    assert granted.count((True, False)) == 1


def test_a_save_is_granted_once_though_it_is_wished_until_it_comes(several):
    saved = []
    for step in range(20):
        wish = step >= 4 and not saved
        if several.agree(stop=False, save=wish)[1]:
            saved.append(step)
    assert saved == [4 + LAG]


def test_a_stop_is_heard_while_wishes_to_save_are_dropped(several):
    granted = [several.agree(stop=step >= 5, save=step >= 4) for step in range(9)]
    assert granted[4 + LAG] == (False, True) and granted[5 + LAG] == (True, False)
