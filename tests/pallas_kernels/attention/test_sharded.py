"""On 8 devices, each device's examples and heads are the whole call's."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]

PROGRAM = """
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from pallas_kernels import interpreter
from pallas_kernels.attention import attention, cases

case = cases.Case(20, 28, "empty", True, batch=4, heads=4)
query, key, value, mask, bias, gradient = case.inputs()
rows = [jnp.asarray(x, jnp.float32) for x in (query, key, value, bias)]
gradient = jnp.asarray(gradient, jnp.float32)


def run(operands, mask, gradient, **options):
    def call(query, key, value, bias):
        return attention(query, key, value, key_mask=mask, bias=bias, **options)

    out, pull = jax.vjp(call, *operands)
    return out, *pull(gradient)


# Two devices share a pair of examples and of heads: the mesh has an axis more.
kind = getattr(jax.sharding.AxisType, sys.argv[1])
mesh = jax.make_mesh((2, 2, 2), ("data", "model", "other"), axis_types=(kind,) * 3)
partition = ("data", "model")
batch = NamedSharding(mesh, PartitionSpec("data"))
placed = [jax.device_put(x, batch) for x in rows[:3]]
# Under explicit axes a cotangent lies as its output does.
as_output = jax.device_put(
    gradient, NamedSharding(mesh, PartitionSpec("data", None, "model"))
)
for name in ("xla", "pallas"):
    with interpreter.interpreted():
        whole = jax.jit(functools.partial(run, implementation=name))
        expected = whole(rows, mask, gradient)
        with jax.set_mesh(mesh):
            split = functools.partial(run, implementation=name, partition=partition)
            found = jax.jit(split)([*placed, rows[3]], mask, as_output)
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, atol=2e-6)
    assert found[0].sharding.spec[0] == "data", found[0].sharding
    print(name, "equal")


def refused(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return "served"


call = functools.partial(attention, implementation="pallas")
with interpreter.interpreted():
    with jax.set_mesh(mesh):
        print(refused(lambda: jax.jit(call)(*rows[:3])))
    print(refused(lambda: jax.jit(call)(*placed)))
    print(refused(lambda: jax.jit(call, in_shardings=batch)(*rows[:3])))
"""


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_a_mesh_splits_batch_and_heads_and_changes_no_number(kind):
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, *refused = done.stdout.splitlines()
    assert (first, second) == ("xla equal", "pallas equal")
    assert len(refused) == 3
    assert all("left to the compiler" in line for line in refused)
    assert all("`partition`" in line for line in refused)
