"""The TPU compiler without a TPU: single chips to compile for, and what it says.

It needs libtpu (`pip install jax[tpu]`), which holds the compiler.
"""

import dataclasses
import importlib.util
import os
import re

import jax
from jax.experimental import topologies

from pallas_kernels import hbm

_ONE_CHIP = {"chips_per_host_bounds": [1, 1, 1]}
# Generation -> a topology and its options. v4, v5p and tpu7x come in fours at least.
TOPOLOGIES = {
    "v4": ("v4:2x2x1", {}),
    "v5e": ("v5e:1x1", _ONE_CHIP),
    "v5p": ("v5p:2x2x1", {}),
    "v6e": ("v6e:1x1", _ONE_CHIP),
    "tpu7x": ("tpu7x:2x2x1", {}),
}


def is_available():
    """Returns whether libtpu is installed."""
    return importlib.util.find_spec("libtpu") is not None


def devices(topology, **options):
    """Returns the devices of a topology that need not exist, as "v5e:2x4".

    Raises:
      RuntimeError: libtpu is not installed.
    """
    if not is_available():
        raise RuntimeError("libtpu is not installed; expected `pip install jax[tpu]`.")
    # No metadata server is asked, and two processes may compile side by side.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    found = topologies.get_topology_desc(
        platform="tpu", topology_name=topology, **options
    )
    return found.devices


def chip(generation):
    """Returns one device of a key of `TOPOLOGIES`."""
    topology, options = TOPOLOGIES[generation]
    return devices(topology, **options)[0]


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler says of a program.

    Attributes:
      hbm_bytes: see `hbm.traffic`.
      temporaries: bytes of HBM beside arguments and results.
      vmem_bytes: of the kernel that uses most; 0 without a kernel.
      code_bytes: of the machine code.
    """

    hbm_bytes: int
    temporaries: int
    vmem_bytes: int
    code_bytes: int


def compile_for(device, function, *arguments):
    """Returns the `Compiled` of a function of arrays or `ShapeDtypeStruct`s."""
    place = jax.sharding.SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arguments
    )
    compiled = jax.jit(function).lower(*shapes).compile()
    memory = compiled.memory_analysis()
    return Compiled(
        hbm_bytes=hbm.traffic(compiled.as_text()),
        temporaries=memory.temp_size_in_bytes,
        vmem_bytes=_vmem(compiled.as_text()),
        code_bytes=memory.generated_code_size_in_bytes,
    )


def _vmem(text):
    """Returns the most scoped memory that a kernel of a compiled program uses."""
    sizes = re.findall(r'"used_scoped_memory_configs":\[\{[^\]]*?"size":"(\d+)"', text)
    return max(map(int, sizes), default=0)
