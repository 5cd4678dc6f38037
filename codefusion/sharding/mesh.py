"""The mesh of devices: its axes, and the rows of a batch that each device holds.

Three axes. `data` splits the batch and copies the parameters, `fsdp` splits both
(Rajbhandari et al. 2020, ZeRO stage 3), `tensor` splits heads, hidden units and
vocabulary within a layer (Shoeybi et al. 2019). Slices, which only the slow network
between data centre pods joins, split the data axis first, so that nothing but the sum
of gradients crosses it.
"""

import dataclasses
import math

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")


@dataclasses.dataclass(frozen=True)
class MeshShape:
    """How many devices each axis has; -1, once at most, is all that are left.

    Attributes:
      data: copies of the parameters, over all slices.
      fsdp: parts of the parameters, of one slice each.
      tensor: parts of a layer.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self):
        sizes = dataclasses.asdict(self)
        for name, size in sizes.items():
            if size < 1 and size != -1:
                raise ValueError(
                    f"sharding.{name} is {size}; expected 1 or more, or -1 for the "
                    "devices that are left."
                )
        if list(sizes.values()).count(-1) > 1:
            raise ValueError(
                f"sharding is {sizes}; expected -1, the devices that are left, once "
                "at most."
            )

    def sizes(self, num_devices, num_slices=1):
        """Returns (data, fsdp, tensor) for a number of devices.

        Raises:
          ValueError: the axes do not fit the devices or the slices.
        """
        given = dataclasses.astuple(self)
        known = math.prod(size for size in given if size != -1)
        found = tuple(num_devices // known if size == -1 else size for size in given)
        if math.prod(found) != num_devices:
            raise ValueError(
                f"sharding has {' x '.join(map(str, given))} (data x fsdp x tensor) "
                f"for {num_devices} devices; expected a product of {num_devices}."
            )
        if found[0] % num_slices:
            raise ValueError(
                f"sharding.data is {found[0]} over {num_slices} slices; expected a "
                "multiple of the slices, as only data crosses them."
            )
        return found


def make_mesh(shape: MeshShape, devices=None) -> Mesh:
    """Returns the mesh of a shape, its neighbours on the interconnect side by side.

    Args:
      shape: the sizes of the axes.
      devices: of all processes, perhaps of a topology that need not exist; None for
        those of JAX.

    Raises:
      ValueError: the shape does not fit the devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    num_slices = len({getattr(device, "slice_index", 0) for device in devices})
    sizes = shape.sizes(len(devices), num_slices)
    if num_slices > 1:
        inside = (sizes[0] // num_slices, *sizes[1:])
        placed = mesh_utils.create_hybrid_device_mesh(
            inside, (num_slices, 1, 1), devices, allow_split_physical_axes=True
        )
    else:
        placed = mesh_utils.create_device_mesh(
            sizes, devices, allow_split_physical_axes=True
        )
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def replicated(mesh) -> NamedSharding:
    """Returns the sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh, batch_size) -> NamedSharding:
    """Returns the sharding of a batch, its rows over data and fsdp.

    Raises:
      ValueError: the rows cannot be shared evenly.
    """
    parts = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    if batch_size % parts:
        raise ValueError(
            f"batch_size is {batch_size}; expected a multiple of {parts}, the product "
            f"of sharding.data {mesh.shape['data']} and sharding.fsdp "
            f"{mesh.shape['fsdp']}."
        )
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def local_rows(mesh, batch_size) -> np.ndarray:
    """Returns which rows of a batch the devices of this process hold, sorted int64[K].

    Processes that share rows, along `tensor`, each read them.
    """
    sharding = batch_sharding(mesh, batch_size)
    parts = sharding.addressable_devices_indices_map((batch_size,)).values()
    rows = np.arange(batch_size)
    return np.unique(np.concatenate([rows[index] for index in parts]))


class RowPlacer:
    """Puts the rows that this process reads onto its devices, as a global batch.

    Args:
      mesh: a `Mesh`.
      batch_size: rows of the whole batch.
    """

    def __init__(self, mesh, batch_size):
        self._sharding = batch_sharding(mesh, batch_size)
        self._rows = local_rows(mesh, batch_size)
        self._batch_size = batch_size

    def __call__(self, batch):
        """Returns a tree of arrays [batch_size, ...].

        Args:
          batch: a tree of numpy arrays [K, ...], the rows of `local_rows`.
        """
        if self._sharding.is_fully_addressable:
            return jax.device_put(batch, self._sharding)
        return jax.tree.map(self._place, batch)

    def _place(self, x):
        def part(index):
            start, stop, _ = index[0].indices(self._batch_size)
            first = np.searchsorted(self._rows, start)
            return x[first : first + stop - start]

        shape = (self._batch_size, *x.shape[1:])
        return jax.make_array_from_callback(shape, self._sharding, part)
