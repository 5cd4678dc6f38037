"""How long a program takes at least: compute, HBM, interconnect and network in turn.

Nothing is measured. Every part runs at its published peak, so that a step is slower
than this; what a plan is for is which part is the longest, and how two layouts compare.
"""

import dataclasses

import numpy as np

from codefusion.planning import collectives

ASSUMPTIONS = (
    "Compute runs at the published bfloat16 peak (float32 on GPUs at half of it, as "
    "TF32); the FLOPs are ours, shared evenly by the devices.",
    "HBM moves the bytes that the program's operations take and give, at the published "
    "bandwidth; one kernel reads each of its operands once.",
    "A collective sends as a ring does. Over an axis of the torus it has both "
    "directions of a link where the axis closes (16 chips on v5e and v6e, multiples of "
    "4 on v4, v5p and tpu7x), one where it does not; over several axes all of them.",
    "What a slice sends to others shares the network of its hosts evenly.",
    "No latency: many small collectives take longer than their bytes.",
)


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of each resource in one run of a program, on one device.

    Attributes:
      compute: products of matrices.
      hbm: traffic of the device's memory.
      interconnect: collectives within a slice or node.
      network: what goes from slice to slice, or from node to node.
    """

    compute: float
    hbm: float
    interconnect: float
    network: float

    @property
    def overlapped(self):
        """Seconds if everything hides behind the longest."""
        return max(dataclasses.astuple(self))

    @property
    def serial(self):
        """Seconds if no communication hides behind the rest."""
        return max(self.compute, self.hbm) + self.interconnect + self.network

    @property
    def bound(self):
        """The name of the longest."""
        return max(dataclasses.asdict(self).items(), key=lambda item: item[1])[0]


def roofline(topology, devices, compiled, *, flops, dtype):
    """Returns the `Roofline` of a compiled program.

    Args:
      topology: a `chips.Topology`.
      devices: of the mesh, in its order.
      compiled: a `programs.Compiled`.
      flops: of all devices.
      dtype: of the matmuls, its name.
    """
    chip = topology.chip
    is_half = topology.generation == "gpu" and dtype == "float32"
    seconds = {"interconnect": 0.0, "network": 0.0}
    for x in compiled.collectives:
        name, speed = link(topology, devices, x)
        seconds[name] += x.runs * x.sent / speed
    peak = chip.peak_flops * (0.5 if is_half else 1.0)
    return Roofline(
        compute=flops / len(devices) / peak,
        hbm=compiled.hbm_bytes / chip.hbm_bandwidth,
        **seconds,
    )


def link(topology, devices, collective):
    """Returns what a collective travels on, and its bytes/s from one device.

    Args:
      topology: a `chips.Topology`.
      devices: of the mesh, in its order.
      collective: a `collectives.Collective`.

    Returns:
      ("interconnect" or "network", float).
    """
    chip = topology.chip
    if collective.axes == (collectives.NETWORK,):
        return "network", chip.network_bandwidth
    members = [devices[i] for i in collective.group]
    if topology.generation == "gpu":
        nodes = {device.process_index for device in members}
        if len(nodes) > 1:
            return "network", chip.network_bandwidth
        return "interconnect", chip.link_bandwidth
    places = np.array([device.coords for device in members])
    directions = 0
    for axis, extent in enumerate(topology.shape):
        reach = len(set(places[:, axis]))
        closes = reach == extent and extent % chip.wraps_at == 0
        directions += 0 if reach == 1 else 2 if closes else 1
    # The two devices of a chip have one place: at least as near as neighbours.
    return "interconnect", max(directions, 1) * chip.link_bandwidth
