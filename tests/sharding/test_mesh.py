import types

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType

from codefusion import sharding
from codefusion.sharding import mesh as meshes


def test_the_devices_that_are_left_go_to_the_axis_of_minus_one():
    assert sharding.MeshShape().sizes(8) == (8, 1, 1)
    assert sharding.MeshShape(data=1, fsdp=-1, tensor=2).sizes(8) == (1, 4, 2)
    assert sharding.MeshShape(data=2, fsdp=2, tensor=2).sizes(8) == (2, 2, 2)


@pytest.mark.parametrize(
    ("sizes", "devices", "slices", "reason"),
    [
        (dict(data=3), 8, 1, "for 8 devices; expected a product of 8"),
        (dict(data=-1, fsdp=3), 8, 1, "expected a product of 8"),
        (dict(data=2, fsdp=4), 8, 4, "data is 2 over 4 slices"),
        (dict(data=1, fsdp=-1), 8, 2, "data is 1 over 2 slices"),
    ],
)
def test_axes_that_do_not_fit_the_devices_are_refused(sizes, devices, slices, reason):
    with pytest.raises(ValueError, match=reason):
        sharding.MeshShape(**sizes).sizes(devices, slices)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        (dict(fsdp=0), "sharding.fsdp is 0; expected 1 or more, or -1"),
        (dict(data=-1, tensor=-1), "expected -1, the devices that are left, once"),
    ],
)
def test_shapes_that_mean_nothing_are_refused(sizes, reason):
    with pytest.raises(ValueError, match=reason):
        sharding.MeshShape(**sizes)


def test_one_device_makes_a_mesh_of_the_same_axes():
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    assert mesh.axis_names == sharding.AXES and mesh.size == 1
    assert sharding.local_rows(mesh, 6).tolist() == list(range(6))


def test_rows_that_cannot_be_shared_are_refused_with_the_axes():
    mesh = AbstractMesh((2, 2, 1), sharding.AXES, axis_types=(AxisType.Auto,) * 3)
    assert sharding.batch_sharding(mesh, 8).spec[0] == ("data", "fsdp")
    with pytest.raises(ValueError, match="batch_size is 6; expected a multiple of 4"):
        sharding.batch_sharding(mesh, 6)


class Shared:
    """Stands for the sharding of a batch over processes."""

    def __init__(self, *slices):
        self.slices = slices

    def addressable_devices_indices_map(self, shape):
        return dict(enumerate((part,) for part in self.slices))


@pytest.mark.parametrize(
    ("slices", "rows"),
    [
        ([slice(0, 2), slice(2, 4)], [0, 1, 2, 3]),
        ([slice(4, 6), slice(4, 6)], [4, 5]),  # along tensor
        ([slice(6, 8), slice(0, 2)], [0, 1, 6, 7]),  # apart
    ],
)
def test_a_process_reads_the_rows_of_its_devices_and_no_others(
    slices, rows, monkeypatch
):
    monkeypatch.setattr(meshes, "batch_sharding", lambda *_: Shared(*slices))
    assert sharding.local_rows(None, 8).tolist() == rows


def test_rows_lie_where_their_numbers_say(monkeypatch):
    placed = {}
    rows = np.array([0, 1, 6, 7])
    elsewhere = types.SimpleNamespace(is_fully_addressable=False)
    monkeypatch.setattr(meshes, "batch_sharding", lambda *_: elsewhere)
    monkeypatch.setattr(meshes, "local_rows", lambda *_: rows)

    def make(shape, place, part):
        for start in (0, 6):
            placed[start] = part((slice(start, start + 2), slice(None)))
        return types.SimpleNamespace(shape=shape)

    monkeypatch.setattr(jax, "make_array_from_callback", make)
    whole = np.arange(16).reshape(8, 2)
    found = sharding.RowPlacer(None, 8)({"x": whole[rows]})
    assert found["x"].shape == (8, 2)
    np.testing.assert_array_equal(placed[0], whole[0:2])
    np.testing.assert_array_equal(placed[6], whole[6:8])
