"""Facts of the chips that a plan knows, and the topologies that they come in.

Everything is per device, as JAX counts devices: v4 and v5p show the two cores of a chip
as one device, tpu7x shows two.
`hbm_bytes` is what the compiler says is left for a program ("exceeds available HBM
(15.75G)"), on a GPU what JAX takes by default, three quarters. The other figures are
published ones; `source` says where.

A link's speed is one direction of one port: the published "bidirectional bandwidth
per chip" over ports and two directions.
"""

import dataclasses
import math
import re

from pallas_kernels import deviceless

GIB = 2**30
_CLOUD = "docs.cloud.google.com/tpu/docs"
_GPUS_PER_NODE = 8


@dataclasses.dataclass(frozen=True)
class Chip:
    """One device of a generation.

    Attributes:
      name: of the generation.
      peak_flops: dense bfloat16 FLOP/s.
      hbm_bytes: that a program may use.
      hbm_bandwidth: bytes/s.
      link_bandwidth: bytes/s of one link between neighbours, one direction; of a GPU
        all its NVLinks together.
      wraps_at: extent of a torus axis from which its ends are joined; 0 for a switch.
      network_bandwidth: bytes/s to other slices or hosts, one direction.
      devices_per_chip: as JAX counts devices.
      torus_axes: of a slice; 1 for a switch.
      max_chips: of a slice; 0 for no limit here.
      source: of the published figures.
    """

    name: str
    peak_flops: float
    hbm_bytes: int
    hbm_bandwidth: float
    link_bandwidth: float
    wraps_at: int
    network_bandwidth: float
    devices_per_chip: int
    torus_axes: int
    max_chips: int
    source: str


def _tpu(
    name,
    *,
    tflops,
    hbm_gib,
    gb_per_s,
    link,
    gbits,
    axes,
    max_chips,
    per_chip=1,
    remark="",
):
    """Returns a `Chip` from the figures of a whole chip, but HBM of a device."""
    return Chip(
        name=name,
        peak_flops=tflops * 1e12 / per_chip,
        hbm_bytes=int(hbm_gib * GIB),
        hbm_bandwidth=gb_per_s * 1e9 / per_chip,
        link_bandwidth=link * 1e9 / per_chip,
        wraps_at=16 if axes == 2 else 4,
        network_bandwidth=gbits * 1e9 / 8 / per_chip,
        devices_per_chip=per_chip,
        torus_axes=axes,
        max_chips=max_chips,
        source=f"{_CLOUD}/{name}{remark}",
    )


CHIPS = {
    "v4": _tpu(
        "v4",
        tflops=275,
        hbm_gib=30.75,
        gb_per_s=1200,
        link=50,  # 2400 Gbit/s one way over 6 ports
        gbits=50,  # not published; v5p's
        axes=3,
        max_chips=4096,
        remark="; network as v5p",
    ),
    "v5e": _tpu(
        "v5e",
        tflops=197,
        hbm_gib=15.75,
        gb_per_s=819,
        link=50,  # 400 GB/s both ways over 4 ports
        gbits=25,  # 6.4 Tbit/s of a pod of 256
        axes=2,
        max_chips=256,
    ),
    "v5p": _tpu(
        "v5p",
        tflops=459,
        hbm_gib=95.74,
        gb_per_s=2765,
        link=100,  # 1200 GB/s both ways over 6 ports
        gbits=50,
        axes=3,
        max_chips=6144,
    ),
    "v6e": _tpu(
        "v6e",
        tflops=918,
        hbm_gib=31.25,
        gb_per_s=1600,
        link=100,  # 800 GB/s both ways over 4 ports
        gbits=100,
        axes=2,
        max_chips=256,
    ),
    "tpu7x": _tpu(
        "tpu7x",
        tflops=2307,
        hbm_gib=94.75,
        gb_per_s=7380,
        link=100,  # 1200 GB/s both ways over 6 ports
        gbits=100,
        axes=3,
        max_chips=9216,
        per_chip=2,
    ),
    "gpu": Chip(
        name="gpu (H100 SXM)",
        peak_flops=989.4e12,
        hbm_bytes=int(0.75 * 84_942_979_072),
        hbm_bandwidth=3352e9,
        link_bandwidth=450e9,
        wraps_at=0,
        network_bandwidth=50e9,
        devices_per_chip=1,
        torus_axes=1,
        max_chips=0,
        source="NVIDIA H100 data sheet (SXM: 989.4 TFLOP/s dense bf16, NVLink 900 GB/s "
        "both ways), DGX H100 (400 Gbit/s a GPU)",
    ),
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices of one generation: slices of a torus, or nodes of GPUs.

    Attributes:
      generation: a key of `CHIPS`.
      shape: chips along each axis of a slice's torus; of GPUs their number.
      num_slices: of TPUs.
    """

    generation: str
    shape: tuple[int, ...]
    num_slices: int = 1

    def __str__(self):
        shape = f"{self.generation}:{'x'.join(map(str, self.shape))}"
        return shape if self.num_slices == 1 else f"{self.num_slices} x {shape}"

    @property
    def chip(self):
        """The `Chip` that it is made of."""
        return CHIPS[self.generation]

    @property
    def num_devices(self):
        """Devices in all, as JAX counts them."""
        per_slice = math.prod(self.shape) * self.chip.devices_per_chip
        return per_slice * self.num_slices

    def devices(self):
        """Returns its devices, which need not exist, slice by slice; a list.

        Raises:
          ValueError: the compiler knows no such topology.
          RuntimeError: the compiler is not installed.
        """
        if self.generation == "gpu":
            return list(deviceless.gpus(self.num_devices))
        name = f"{self.generation}:{'x'.join(map(str, self.shape))}"
        options = dict(deviceless.TOPOLOGIES.values()).get(name, {})
        if self.num_slices > 1:
            options = {**options, "num_slices": self.num_slices}
        try:
            found = deviceless.devices(name, **options)
        except (ValueError, KeyError) as error:
            raise self._unknown(name) from error
        except RuntimeError as error:
            # JAX's own errors are RuntimeErrors too; that of a missing libtpu is plain.
            if type(error) is RuntimeError:
                raise
            raise self._unknown(name) from error
        return list(found)

    def _unknown(self, name):
        return ValueError(
            f"--topology is {name!r}, which the compiler does not know; expected a "
            "shape that can be rented, such as v5e:4x4 or v5p:4x4x4."
        )


def parse(text, *, num_slices=1):
    """Returns the `Topology` of a text such as "v5e:16x16", "v5p:8x8x4" or "gpu:8".

    Args:
      text: generation, colon, chips along each axis.
      num_slices: of TPUs, int.

    Raises:
      ValueError: it is none.
    """
    found = re.fullmatch(r"(\w+):([1-9]\d*(?:x[1-9]\d*)*)", text)
    if not found or found.group(1) not in CHIPS:
        names = ", ".join(CHIPS)
        raise ValueError(
            f"--topology is {text!r}; expected a generation of {names}, a colon and "
            "the chips along each axis, such as v5e:16x16, v5p:8x8x4 or gpu:8."
        )
    generation = found.group(1)
    shape = tuple(map(int, found.group(2).split("x")))
    if num_slices < 1:
        raise ValueError(f"--num_slices is {num_slices}; expected 1 or more.")
    if generation == "gpu":
        _check_gpus(text, shape, num_slices)
    else:
        _check_slice(text, shape, CHIPS[generation])
    return Topology(generation, shape, num_slices)


def _check_slice(text, shape, chip):
    if len(shape) != chip.torus_axes or math.prod(shape) > chip.max_chips:
        raise ValueError(
            f"--topology is {text!r}; expected {chip.torus_axes} axes and at most "
            f"{chip.max_chips} chips, the largest slice of {chip.name}; more chips "
            "come by --num_slices."
        )


def _check_gpus(text, shape, num_slices):
    number = shape[0]
    whole = number < _GPUS_PER_NODE or number % _GPUS_PER_NODE == 0
    if len(shape) > 1 or not whole:
        raise ValueError(
            f"--topology is {text!r}; expected gpu: and a number below "
            f"{_GPUS_PER_NODE} or whole nodes of {_GPUS_PER_NODE}."
        )
    if num_slices > 1:
        raise ValueError(
            f"--num_slices is {num_slices} for GPUs; expected 1 and more GPUs, such as "
            f"gpu:{num_slices * _GPUS_PER_NODE}."
        )
