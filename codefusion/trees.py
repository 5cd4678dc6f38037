"""Trees of arrays, leaf by leaf."""

from typing import Any

import jax


def named_leaves(tree, separator="/") -> dict[str, Any]:
    """Returns the leaves of a tree by path, such as "params/kernel", in their order.

    Args:
      tree: of any leaves.
      separator: between the names of a path.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    name = jax.tree_util.keystr
    return {name(path, simple=True, separator=separator): leaf for path, leaf in leaves}
