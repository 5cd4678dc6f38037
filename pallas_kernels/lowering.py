"""What is decided at lowering, when the platform and the devices are known."""

import functools

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad, batching, mlir

_refuse_p = core.Primitive("refuse")
_refuse_p.def_abstract_eval(lambda x, **_: x)
_refuse_p.def_impl(
    lambda x, **params: jax.jit(functools.partial(_refuse_p.bind, **params))(x)
)
ad.deflinear2(_refuse_p, lambda gradient, _, **params: [gradient])
batching.defvectorized(_refuse_p)

_on_platform_p = core.Primitive("on_platform")
_on_platform_p.multiple_results = True
_on_platform_p.def_abstract_eval(lambda *_, jaxpr, platform: jaxpr.out_avals)


def refuse(x, message):
    """Returns x in a branch that must not be lowered: lowering raises ValueError."""
    return _refuse_p.bind(x, message=message, unless_whole=False)


def refuse_partition(x, message):
    """Returns x, unless the program is left to the compiler to partition.

    A kernel can run on one device, or in a `shard_map` over all axes of the mesh.
    """
    return _refuse_p.bind(x, message=message, unless_whole=True)


def on_platform(platform, function, *arguments):
    """Returns function(*arguments) in a branch that only one platform takes.

    JAX lowers such a branch for every platform that a program is exported for, and a
    kernel for one alone. For the others this is zeros, which nothing reads. It has no
    derivative, so a kernel's own comes around it.

    Args:
      platform: "tpu" or "cuda".
      function: of arrays.
      *arguments: pytrees of arrays.
    """
    jaxpr, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    found = _on_platform_p.bind(
        *jax.tree.leaves(arguments), jaxpr=jaxpr, platform=platform
    )
    return jax.tree.unflatten(jax.tree.structure(shapes), found)


def _lower_refusal(context, x, *, message, unless_whole):
    if unless_whole and _is_whole(context.module_context.axis_context):
        return [x]
    raise ValueError(message)


def _is_whole(axis_context):
    devices = getattr(axis_context, "num_devices", None)
    if devices is not None:
        return devices == 1
    manual = axis_context.manual_axes | set(axis_context.mesh.manual_axes)
    return not axis_context.manual_axes or manual == set(axis_context.mesh.axis_names)


def _lower_kernel(context, *arguments, jaxpr, platform, lowered_for):
    if platform != lowered_for:
        return _lower_zeros(context, *arguments, jaxpr=jaxpr)
    module = context.module_context.replace(platforms=(platform,))
    lower = mlir.lower_fun(core.jaxpr_as_fun(jaxpr), multiple_results=True)
    return lower(context.replace(module_context=module), *arguments)


def _lower_zeros(context, *arguments, jaxpr, platform=None):
    def zeros(*_):
        return [jnp.zeros(x.shape, x.dtype) for x in jaxpr.out_avals]

    return mlir.lower_fun(zeros, multiple_results=True)(context, *arguments)


def _batch(arguments, axes, *, jaxpr, platform):
    function = jax.vmap(core.jaxpr_as_fun(jaxpr), in_axes=axes)
    found = on_platform(platform, function, *arguments)
    return found, [0] * len(found)


batching.primitive_batchers[_on_platform_p] = _batch
mlir.register_lowering(_refuse_p, _lower_refusal)
mlir.register_lowering(_on_platform_p, _lower_zeros)
for _platform in ("tpu", "cuda"):
    mlir.register_lowering(
        _on_platform_p,
        functools.partial(_lower_kernel, lowered_for=_platform),
        platform=_platform,
    )
