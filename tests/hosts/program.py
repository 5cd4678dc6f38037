"""A small training run over several processes, for tests; also a script.

python tests/hosts/program.py INDEX NUM_HOSTS PORT [name=value ...]

It fits one number to rows that each host reads by its index, prints every loss, and
does as the settings say: `die_at` kills this host, `fail_at` raises, `hang_at` sleeps.
"""

import os
import signal
import sys
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from codefusion import hosts

ROWS = 8


@jax.jit
def step(value, rows):
    loss, slope = jax.value_and_grad(lambda v: jnp.mean(jnp.square(rows - v)))(value)
    return value - 0.1 * slope, loss


def train(roster, settings):
    """Prints the losses of a fit over all devices of all hosts."""
    index, count = jax.process_index(), jax.process_count()
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    value = jax.device_put(jnp.zeros(()), NamedSharding(mesh, PartitionSpec()))
    mine = slice(index * ROWS // count, (index + 1) * ROWS // count)
    for number in range(int(settings.get("steps", 3))):
        act(number, settings)
        rows = np.random.default_rng(number).normal(size=ROWS).astype(np.float32)
        batch = jax.make_array_from_process_local_data(split, rows[mine])
        value, loss = step(value, batch)
        print(f"loss {number} {float(loss).hex()}", flush=True)
        time.sleep(float(settings.get("pause", 0)))


def act(number, settings):
    """Does to this host what the settings have for a step."""
    if number == int(settings.get("die_at", -1)):
        os.kill(os.getpid(), signal.SIGKILL)
    if number == int(settings.get("fail_at", -1)):
        raise ValueError("the disk is full")
    if number == int(settings.get("stop_at", -1)):
        raise SystemExit(0)


def main(argv):
    index, num_hosts, port = (int(word) for word in argv[1:4])
    settings = dict(word.split("=") for word in argv[4:])
    cluster = hosts.find(
        coordinator=f"127.0.0.1:{port}", num_processes=num_hosts, process_id=index
    )
    timeout = float(settings.get("timeout", 60))
    with hosts.join(
        cluster, facts={"seed": settings.get("seed", "0")}, timeout=timeout
    ) as roster:
        train(roster, settings)
    print("ended", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv)
    except ValueError as error:
        print(f"codefusion: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
