"""The toy as one of several processes.

python -m benchmarks.reliability.toy_host --workdir=DIR --steps=100 --every=5 \\
    --coordinator=127.0.0.1:9000 --num_processes=2 --process_id=0
"""

import argparse
import functools
import sys

import jax

from benchmarks.reliability.runs import Settings, watched
from benchmarks.reliability.toy import Toy
from codefusion import hosts, sharding


def local(stages):
    """Returns stages whose batches are the rows of this process's devices."""
    mesh = sharding.make_mesh(sharding.MeshShape())
    rows = sharding.local_rows(mesh, stages[0].batches.batch_size)
    keep = functools.partial(jax.tree.map, lambda array: array[rows])
    return watched(stages, read=lambda stage, index, batch: keep(batch))


def main(argv):
    """Trains the toy as the flags say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--coordinator", required=True)
    for name in ("steps", "every", "num_processes", "process_id"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--host_timeout", type=float, default=60.0)
    flags = parser.parse_args(argv)
    cluster = hosts.find(
        coordinator=flags.coordinator,
        num_processes=flags.num_processes,
        process_id=flags.process_id,
    )
    settings = Settings(steps=flags.steps, every=flags.every)
    with hosts.join(cluster, timeout=flags.host_timeout) as roster:
        shown = dict(roster=roster, stream=sys.stderr)
        Toy().train(flags.workdir, settings, change=local, **shown)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"codefusion: {error}")
