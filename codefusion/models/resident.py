"""The denoiser's parameters as the resident kernel reads them."""

import jax
import jax.numpy as jnp

from codefusion.models import denoiser
from pallas_kernels import resident_denoiser


def weights(params, *, num_heads, dtype):
    """Returns `resident_denoiser.Weights` of a model without alignment rounds.

    Args:
      params: of the whole model.
      num_heads: of its attention.
      dtype: of the matrices.
    """
    params = params["denoiser"]
    layers = _stacked(params["stack"])

    def matrix(*path):
        return _at(layers, *path).astype(dtype)

    def scale(name):
        return layers[name]["scale"][:, None]

    return resident_denoiser.Weights(
        embed=params["in"]["kernel"].astype(dtype),
        embed_bias=params["in"]["bias"][None],
        positions=params["positions"].astype(dtype),
        self_norm=scale("self_attention_norm"),
        qkv=_parts_first(matrix("self_attention", "qkv", "dense", "kernel"), num_heads),
        self_out=matrix("self_attention", "out", "kernel"),
        cross_norm=scale("cross_attention_norm"),
        query=matrix("cross_attention", "query", "kernel"),
        cross_out=matrix("cross_attention", "out", "kernel"),
        mlp_norm=scale("feed_forward_norm"),
        mlp_in=matrix("feed_forward", "in", "kernel"),
        mlp_out=matrix("feed_forward", "out", "kernel"),
        norm=params["stack"]["norm"]["scale"][None],
        unembed=params["out"]["kernel"].astype(dtype),
        unembed_bias=params["out"]["bias"][None],
    )


def times(params, t, *, dtype):
    """Returns what each time adds to every position, float32[T, 1, D], from [T]."""
    params = params["denoiser"]

    def dense(_, name, x):
        layer = params[name]
        x = x.astype(dtype) @ layer["kernel"].astype(dtype)
        return x + layer["bias"].astype(dtype)[None]

    hidden = denoiser.embed_time(dense, t, None)
    return hidden.astype(jnp.float32)[:, None]


def key_values(context):
    """Returns the denoiser's keys and values, [N, 2, B, S, I], of a `Context`."""
    found = context.denoiser
    return found.reshape(*found.shape[:-2], -1)


def _parts_first(kernel, num_heads):
    """Returns kernels [N, D, I / H * 3 * H], heads outermost, as [N, D, 3 * I]."""
    layers, width, _ = kernel.shape
    apart = kernel.reshape(layers, width, num_heads, 3, -1)
    return jnp.moveaxis(apart, 3, 2).reshape(kernel.shape)


def _stacked(stack):
    """Returns the parameters of a layer, those of all layers stacked."""
    if "layers" in stack:
        return stack["layers"]["block"]
    count = sum(name.startswith("layer_") for name in stack)
    layers = [stack[f"layer_{i}"] for i in range(count)]
    return jax.tree.map(lambda *x: jnp.stack(x), *layers)


def _at(tree, *path):
    for name in path:
        tree = tree[name]
    return tree
