"""The compilers of TPUs and GPUs without a device: what to compile for, their reports.

TPUs need libtpu, which holds the compiler (`pip install libtpu`). GPUs need the CUDA
plugin of JAX and NVIDIA's compiler: jax-cuda13-plugin and jax-cuda13-pjrt of jax's
version, nvidia-cuda-nvcc and nvidia-nvvm. `make test-gpu-compile` installs them.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import pathlib
import re
import sys
import tempfile

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
# A v4 chip's two cores are one device on a Cloud TPU, but not to the compiler alone.
_MEGACORE = {"chip_config_name": "megacore"}
# NVIDIA's data sheet and CUDA's limits for compute capability 9.0. Without the
# accelerated features there is no wgmma, and LLVM ends the process.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 registers_per_core_limit: 65536
  registers_per_block_limit: 65536 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84942979072
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
}
platform_name: "CUDA"
runtime_version { major: 13 minor: 0 }
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def is_available():
    """Returns whether libtpu is installed."""
    return importlib.util.find_spec("libtpu") is not None


def is_gpu_available():
    """Returns whether the CUDA plugin is installed."""
    return importlib.util.find_spec("jax_cuda13_plugin") is not None


def gpu():
    """Returns an H100 that need not exist; see `gpus`."""
    return gpus(1)[0]


@functools.cache
def gpus(number):
    """Returns H100s that need not exist, eight to a node; a list.

    Raises:
      RuntimeError: the CUDA plugin is not installed, or JAX would look for a GPU.
    """
    if jax.config.jax_platforms != "cpu":
        raise RuntimeError("JAX would look for a GPU; expected JAX_PLATFORMS=cpu.")
    if not is_gpu_available():
        raise RuntimeError(
            "the CUDA plugin is not installed; expected what `make test-gpu-compile` "
            "installs."
        )
    nodes, each = max(number // 8, 1), min(number, 8)
    found = topologies.get_topology_desc(
        platform="cuda",
        topology_name="",
        topology=f"1x{nodes}x{each}",
        target_config=_H100,
    )
    return found.devices


def devices(topology, **options):
    """Returns the devices of a topology that need not exist, as "v5e:2x4".

    Raises:
      RuntimeError: libtpu is not installed.
    """
    if not is_available():
        raise RuntimeError("libtpu is not installed; run `pip install libtpu`.")
    # No metadata server is asked, and two processes may compile side by side.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    if topology.startswith("v4:"):
        options = _MEGACORE | options
    with _quiet():
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
      vmem_bytes: of the TPU kernel that uses most; 0 without a kernel.
      code_bytes: of a TPU's machine code.
      registers: of a CUDA thread, for each Mosaic kernel in the order of compilation.
      spilled: bytes of registers that do not fit, likewise.
    """

    hbm_bytes: int
    temporaries: int
    vmem_bytes: int
    code_bytes: int
    registers: tuple[int, ...] = ()
    spilled: tuple[int, ...] = ()


def compile_for(device, function, *arguments):
    """Returns the `Compiled` of a function of arrays or `ShapeDtypeStruct`s."""
    place = jax.sharding.SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arguments
    )
    with _dumped() as folder:
        compiled = jax.jit(function).lower(*shapes).compile()
        reports = sorted(folder.glob("*.ptxas"), key=_counter)
        said = "".join(x.read_text() for x in reports)
    memory = compiled.memory_analysis()
    return Compiled(
        hbm_bytes=hbm.traffic(compiled.as_text()),
        temporaries=memory.temp_size_in_bytes,
        vmem_bytes=_vmem(compiled.as_text()),
        code_bytes=memory.generated_code_size_in_bytes,
        registers=_numbers(r"Used (\d+) registers", said),
        spilled=_numbers(r"frame, (\d+) bytes spill stores", said),
    )


@contextlib.contextmanager
def _quiet():
    """Sends what is written on stderr nowhere: libtpu's lines on the TPU it misses."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _dumped():
    """Yields a folder for what NVIDIA's assembler says of Mosaic kernels."""
    names = ("MOSAIC_GPU_DUMP_TO", "MOSAIC_GPU_DUMP_PTXAS")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= dict(zip(names, (folder, "1"), strict=True))
        try:
            yield pathlib.Path(folder)
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def _counter(path):
    """Returns the number at the end of a file's stem, which counts compilations."""
    return int(path.stem.rsplit("_", 1)[1])


def _numbers(pattern, text):
    return tuple(map(int, re.findall(pattern, text)))


def _vmem(text):
    """Returns the most scoped memory that a kernel of a compiled program uses."""
    sizes = re.findall(r'"used_scoped_memory_configs":\[\{[^\]]*?"size":"(\d+)"', text)
    return max(map(int, sizes), default=0)
