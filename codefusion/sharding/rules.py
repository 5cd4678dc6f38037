"""Which mesh axis splits which dimension: logical axes, and the axes of parameters.

A dimension that its mesh axes do not divide evenly stays whole. Without a mesh in force
(`jax.set_mesh`), or on one device, nothing here does anything.
"""

import math
import re

import jax
from jax.sharding import NamedSharding, PartitionSpec

# Logical axis -> mesh axes, in one tuple. `embed` is the width of parameters and
# `width` that of activations, which every part of a layer reads whole.
RULES = {
    "batch": ("data", "fsdp"),
    "length": (),
    "width": (),
    "embed": ("fsdp",),
    "heads": ("tensor",),
    "mlp": ("tensor",),
    "vocab": ("tensor",),
}

# Pattern of the end of a parameter's path -> logical axes of its last dimensions; the
# first that matches counts. The moments of an optimizer have their parameter's path.
PARAMETERS = (
    (r"(qkv|key_value)/dense/kernel", ("embed", "heads")),
    (r"(query|key|value)/kernel", ("embed", "heads")),
    (r"(feed_forward|layer(_\d+)?)/in/kernel", ("embed", "mlp")),
    (r"(feed_forward/out|mlp_out)/kernel", ("mlp", "embed")),
    (r"(attention|layer(_\d+)?)/out/kernel", ("heads", "embed")),
    (r"vocabulary/kernel", ("embed", "vocab")),
    (r"vocabulary/bias", ("vocab",)),
    (r"embedding", ("vocab", "embed")),
    (r"kernel|positions", ("embed", None)),
)
_PARAMETERS = tuple(
    (re.compile(rf"(^|/)({pattern})$"), axes) for pattern, axes in PARAMETERS
)


def partition(mesh, shape, *logical) -> PartitionSpec:
    """Returns the spec of an array whose last dimensions have the logical axes.

    Args:
      mesh: a `Mesh` or `AbstractMesh` with `mesh.AXES`.
      shape: of the array; tuple of int.
      *logical: keys of `RULES`, or None for a dimension that stays whole.
    """
    first = len(shape) - len(logical)
    named = [*[None] * first, *logical]
    return PartitionSpec(
        *(_axes(mesh, size, name) for size, name in zip(shape, named, strict=True))
    )


def constrain(x, *logical):
    """Returns x, laid out over the mesh in force as its logical axes say.

    Args:
      x: an array.
      *logical: keys of `RULES` or None, one for each of its last dimensions.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1 or mesh.manual_axes:
        return x
    spec = partition(mesh, x.shape, *logical)
    return jax.lax.with_sharding_constraint(x, spec)


def state_shardings(tree, mesh):
    """Returns the sharding of every leaf of a tree of parameters.

    Args:
      tree: of arrays or shapes whose paths end as those of the model's parameters do:
        the parameters, an optimizer's state, or a whole training state.
      mesh: a `Mesh`.

    Returns:
      A tree of `NamedSharding`; leaves that are no parameter's are replicated.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(mesh, _parameter_spec(mesh, path, leaf)), tree
    )


def on_mesh(shapes, mesh):
    """Returns shapes of parameters that say where they lie; see `state_shardings`.

    Args:
      shapes: a tree of `jax.ShapeDtypeStruct`.
      mesh: a `Mesh`.
    """
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        shapes,
        state_shardings(shapes, mesh),
    )


def constrain_state(tree):
    """Returns the tree, laid out over the mesh in force as `state_shardings` says."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return tree

    def constrain_leaf(path, leaf):
        spec = _parameter_spec(mesh, path, leaf)
        return jax.lax.with_sharding_constraint(leaf, spec)

    return jax.tree_util.tree_map_with_path(constrain_leaf, tree)


def _axes(mesh, size, name):
    """Returns the mesh axes that split a dimension, or None."""
    axes = () if name is None else RULES[name]
    parts = math.prod(mesh.shape[axis] for axis in axes)
    return axes if parts > 1 and size % parts == 0 else None


def _parameter_spec(mesh, path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    for pattern, logical in _PARAMETERS:
        if pattern.search(name) and len(leaf.shape) >= len(logical):
            return partition(mesh, leaf.shape, *logical)
    return PartitionSpec()
