"""Where arrays lie on the devices: a mesh, and one table of rules.

`mesh` has the axes and which rows of a batch a process holds, `rules` which axis splits
which dimension of a parameter or an activation.
"""

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
    "constrain",
    "constrain_state",
    "local_rows",
    "make_mesh",
    "on_mesh",
    "partition",
    "replicated",
    "state_shardings",
]
