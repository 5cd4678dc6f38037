"""One host of several that share checkpoints; a script.

python tests/checkpoints/host_run.py WORKDIR PORT NUM_HOSTS HOST

Prints what it finds, a line each, so that a test compares the hosts.
"""

import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from codefusion.checkpoints import CheckpointError, Checkpoints, disk

workdir, port, num_hosts, host = sys.argv[1], *map(int, sys.argv[2:])
jax.distributed.initialize(
    f"127.0.0.1:{port}", num_hosts, host, initialization_timeout=60
)
values = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)


def array_on(mesh, spec):
    sharding = NamedSharding(mesh, spec)
    return jax.make_array_from_callback(values.shape, sharding, lambda i: values[i])


def try_out(name, call, *args):
    """Prints what a call returns, or its error."""
    try:
        print(name, call(*args), flush=True)
    except CheckpointError as error:
        print(name, "fails:", error, flush=True)


def restored(checkpoints, step):
    """Returns whether a step is restored to the bit, onto another layout."""
    sharding = NamedSharding(mesh, PartitionSpec(None, ("data", "fsdp")))
    like = jax.ShapeDtypeStruct(values.shape, values.dtype, sharding=sharding)
    found = checkpoints.restore(step, {"kernel": like})["kernel"]
    return all(
        np.asarray(shard.data).tobytes() == values[shard.index].tobytes()
        for shard in found.addressable_shards
    )


mesh = Mesh(
    np.array(jax.devices()).reshape(2, num_hosts),
    ("data", "fsdp"),
    axis_types=(AxisType.Auto,) * 2,
)
with jax.set_mesh(mesh):
    apart = Checkpoints(os.path.join(workdir, f"apart{host}"))
    try_out("apart", apart.prepare)
    checkpoints = Checkpoints(workdir, max_to_keep=2)
    try_out("prepare", checkpoints.prepare)
    state = {
        "kernel": array_on(mesh, PartitionSpec("fsdp", "data")),
        "average": array_on(mesh, PartitionSpec()),
    }
    for step in (1, 2, 3):
        checkpoints.save(step, state, {"step": step})
    try_out("wait", checkpoints.wait)
    try_out("steps", checkpoints.steps)
    again = Checkpoints(workdir)
    try_out("latest", again.latest)
    try_out("extra", again.extra, 3)
    try_out("restored", restored, again, 3)
    if host == 0:
        disk.free = lambda folder: 0
    try_out("full disk", checkpoints.save, 4, state)
    if host == 0:
        (checkpoints.folder / "3" / "extra.json").unlink()
    try_out("damaged", restored, Checkpoints(workdir), 3)
    try_out("latest", Checkpoints(workdir).latest)
