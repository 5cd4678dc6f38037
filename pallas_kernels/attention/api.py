"""One call for attention, and the choice of what computes it."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from pallas_kernels import interpreter, lowering
from pallas_kernels.attention import gpu, tpu, xla

IMPLEMENTATIONS = (None, "xla", "cudnn", "pallas")
_NOWHERE = (
    "(model.attention) serves TPUs and Hopper GPUs; on another platform expected "
    "'xla', or the default (for tests: pallas_kernels.interpreter)."
)


def attention(
    query,
    key,
    value,
    *,
    key_mask=None,
    bias=None,
    scale=None,
    implementation=None,
    partition=None,
):
    """Returns softmax(scale query key^T + bias) value over the keys of the mask.

    Scores and softmax are float32 (cuDNN takes the bias in bfloat16). A row without a
    key gives zeros and zero gradients. Differentiable by query, key, value and bias.

    Args:
      query: bfloat16 or float32 [B, T, N, H].
      key, value: [B, S, N, H] in the query's dtype.
      key_mask: True on keys that may be attended to, bool[B, S]; None for all.
      bias: added to the scores of every example, [N, T, S]; None for none.
      scale: multiplies the scores, a Python number; None for 1 / sqrt(H).
      implementation: "xla", "cudnn" (NVIDIA GPUs) or "pallas" (TPUs; Hopper GPUs, in
        bfloat16 with H of 32, 64 or 128; a CPU under `interpreter.interpreted`).
        None for what is best on the platform, which is known when the program is
        lowered: the kernel on a TPU, XLA elsewhere.
      partition: under a mesh (`jax.set_mesh`), the mesh axes of B and of N, as in a
        `PartitionSpec` of two: the kernel then runs in a `shard_map` over them.

    Returns:
      [B, T, N, H] in the query's dtype.

    Raises:
      ValueError: a shape or dtype is wrong, or the implementation cannot serve.
    """
    _check(query, key, value, key_mask, bias)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation is {implementation!r}; expected one of {IMPLEMENTATIONS}."
        )
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    local = functools.partial(_CHOICES[implementation], scale=scale)
    if partition is None:
        return local(query, key, value, key_mask, bias)
    return _shard(local, query, key, value, key_mask, bias, partition)


def platforms(implementation):
    """Returns the platforms of JAX that an implementation runs on; None for all."""
    if implementation == "pallas" and interpreter.parameters() is None:
        return ("tpu", "gpu")
    return ("gpu",) if implementation == "cudnn" else None


def _best(query, key, value, key_mask, bias, *, scale):
    by_xla = functools.partial(xla.attention, scale=scale)
    operands = query, key, value, key_mask, bias
    if tpu.reasons(query) or _is_partitioned(_mesh(query)):
        return by_xla(*operands)
    on_tpu = functools.partial(_kernel, tpu.attention, scale=scale)
    return jax.lax.platform_dependent(*operands, tpu=on_tpu, default=by_xla)


def _pallas(query, key, value, key_mask, bias, *, scale):
    found = tpu.reasons(query)  # the GPU kernels have these, and more
    mesh = _mesh(query)
    if _is_partitioned(mesh):
        found.append(
            f"the mesh has axes {mesh.axis_names} left to the compiler; expected "
            "`partition`, the mesh axes of batch and heads"
        )
    if found:
        raise ValueError(f"attention by 'pallas' cannot serve: {'; '.join(found)}.")
    on_tpu = functools.partial(_kernel, tpu.attention, scale=scale)
    on_gpu = functools.partial(_kernel, gpu.attention, scale=scale)
    if reasons := gpu.reasons(query):
        on_gpu = functools.partial(
            _refuse,
            f"(model.attention) cannot serve on a GPU: {'; '.join(reasons)}; or "
            "another implementation.",
        )
    elsewhere = functools.partial(_refuse, _NOWHERE)
    if (parameters := interpreter.parameters()) is not None:
        elsewhere = functools.partial(on_tpu, interpret=parameters)
    return jax.lax.platform_dependent(
        query,
        key,
        value,
        key_mask,
        bias,
        tpu=on_tpu,
        cuda=on_gpu,
        default=elsewhere,
    )


def _kernel(attend, query, *operands, **options):
    query = lowering.refuse_partition(
        query,
        "attention by 'pallas' met a program for several devices that is left to the "
        "compiler to partition; expected a mesh (jax.set_mesh) and `partition`, or "
        "implementation='xla'.",
    )
    return attend(query, *operands, **options)


def _refuse(reason, query, *_):
    return lowering.refuse(query, f"attention by 'pallas' {reason}")


def _cudnn(query, key, value, key_mask, bias, *, scale):
    reasons = []
    if query.dtype != jnp.bfloat16:
        reasons.append(f"the dtype is {query.dtype}; expected bfloat16")
    try:
        if not reasons:
            return xla.by_cudnn(query, key, value, key_mask, bias, scale=scale)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        reasons.append(str(error))
    raise ValueError(f"attention by 'cudnn' cannot serve: {'; '.join(reasons)}")


_CHOICES = {None: _best, "xla": xla.attention, "cudnn": _cudnn, "pallas": _pallas}


def _mesh(query):
    """Returns the mesh in force: of the arrays themselves, or the context's."""
    own = jax.typeof(query).sharding.mesh
    return jax.sharding.get_abstract_mesh() if own.empty else own


def _is_partitioned(mesh):
    """Returns whether a mesh has several devices and is not all manual."""
    return mesh.size > 1 and set(mesh.manual_axes) != set(mesh.axis_names)


def _shard(local, query, key, value, key_mask, bias, partition):
    """Returns the attention of each device's examples and heads."""
    batch, heads = partition
    rows = PartitionSpec(batch, None, heads, None)
    specs = (
        rows,
        rows,
        rows,
        None if key_mask is None else PartitionSpec(batch, None),
        None if bias is None else PartitionSpec(heads, None, None),
    )
    mesh = _mesh(query)
    if mesh.explicit_axes:
        placed = zip((query, key, value, key_mask, bias), specs, strict=True)
        query, key, value, key_mask, bias = (
            x if x is None else jax.reshard(x, spec) for x, spec in placed
        )
    mapped = jax.shard_map(
        local, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=False
    )
    return mapped(query, key, value, key_mask, bias)


def _check(query, key, value, key_mask, bias):
    """Raises ValueError where a shape or a dtype is wrong."""
    if query.ndim != 4:
        raise ValueError(f"query has shape {query.shape}; expected [B, T, N, H].")
    batch, length, heads, width = query.shape
    if key.ndim != 4:
        raise ValueError(f"key has shape {key.shape}; expected [B, S, N, H].")
    keys = key.shape[1]
    expected = {
        "key": (key, (batch, keys, heads, width)),
        "value": (value, (batch, keys, heads, width)),
        "key_mask": (key_mask, (batch, keys)),
        "bias": (bias, (heads, length, keys)),
    }
    for name, (x, shape) in expected.items():
        if x is not None and x.shape != shape:
            raise ValueError(f"{name} has shape {x.shape}; expected {shape}.")
    if query.dtype not in (jnp.bfloat16, jnp.float32):
        raise ValueError(
            f"query has dtype {query.dtype}; expected bfloat16 or float32."
        )
    for name, x in (("key", key), ("value", value)):
        if x.dtype != query.dtype:
            raise ValueError(
                f"{name} has dtype {x.dtype}; expected the query's, {query.dtype}."
            )
    if key_mask is not None and key_mask.dtype != jnp.bool_:
        raise ValueError(f"key_mask has dtype {key_mask.dtype}; expected bool.")
    if bias is not None and not jnp.issubdtype(bias.dtype, jnp.floating):
        raise ValueError(f"bias has dtype {bias.dtype}; expected a float type.")
