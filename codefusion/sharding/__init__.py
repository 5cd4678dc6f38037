"""Where arrays lie on the devices: a mesh, and one table of rules.

`mesh` has the axes and which rows of a batch a process holds, `rules` which axis splits
which dimension of a parameter or an activation, `gathering` whether parameters are
whole to sample with.
"""

from codefusion.sharding.gathering import bytes_per_device, fit_whole, to_sample
from codefusion.sharding.mesh import (
    AXES,
    MeshShape,
    RowPlacer,
    batch_sharding,
    local_rows,
    make_mesh,
    replicated,
)
from codefusion.sharding.rules import (
    PARAMETERS,
    RULES,
    constrain,
    constrain_state,
    on_mesh,
    partition,
    state_shardings,
)

__all__ = [
    "AXES",
    "PARAMETERS",
    "RULES",
    "MeshShape",
    "RowPlacer",
    "batch_sharding",
    "bytes_per_device",
    "constrain",
    "constrain_state",
    "fit_whole",
    "local_rows",
    "make_mesh",
    "on_mesh",
    "partition",
    "replicated",
    "state_shardings",
    "to_sample",
]
