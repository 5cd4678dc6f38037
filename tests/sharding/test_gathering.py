import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType

from codefusion import sharding

MESH = AbstractMesh((1, 4, 2), sharding.AXES, axis_types=(AxisType.Auto,) * 3)
# 64 bytes, of which a device has 16 where they are split, and 8 that are never split.
PARAMS = {
    "kernel": jax.ShapeDtypeStruct((8, 8), jnp.int8),
    "scale": jax.ShapeDtypeStruct((8,), jnp.int8),
}


@pytest.mark.parametrize(
    ("free", "fits"), [(None, True), (144, True), (143, False), (-1, False)]
)
def test_parameters_are_whole_to_sample_with_up_to_half_of_what_is_free(free, fits):
    assert sharding.fit_whole(PARAMS, free) == fits


def test_a_device_holds_its_parts_of_what_is_split():
    assert sharding.bytes_per_device(sharding.on_mesh(PARAMS, MESH)) == 16 + 8


def test_on_one_device_no_parameter_is_copied():
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    params = jax.device_put({"kernel": np.ones((8, 8))}, sharding.replicated(mesh))
    assert sharding.to_sample(params, params) is params
