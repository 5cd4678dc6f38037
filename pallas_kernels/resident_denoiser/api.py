"""One call for a whole sampler, and the choice of what computes it."""

import functools

import jax
import jax.numpy as jnp

from pallas_kernels import interpreter, lowering
from pallas_kernels.resident_denoiser import reference, tpu

IMPLEMENTATIONS = (None, "xla", "pallas")
# VMEM of a core by `device_kind`, in MiB.
VMEM = {
    "TPU v4": 16,
    "TPU v5 lite": 128,
    "TPU v5": 64,
    "TPU v6 lite": 128,
    "TPU7x": 64,
}


def sample(weights, steps, x1, key_values, key_mask, *, num_heads, implementation=None):
    """Returns the last estimate of x0, float32[B, C, L, E], for C candidates each.

    Args:
      weights: `Weights`, their matrices of one dtype, bfloat16 or float32.
      steps: `Steps`; the sampler is deterministic.
      x1: the starting noise, float32[B, C, L, E].
      key_values: of the context by layer, [N, 2, B, S, I] in the weights' dtype.
      key_mask: True on source positions to attend to, bool[B, S].
      num_heads: of the width I.
      implementation: "xla", a loop over steps; "pallas", one program on one TPU core,
        or interpreted under `interpreter.interpreted`; None for the program where the
        default device is a TPU in whose VMEM it fits (`serves`), else the loop.

    Raises:
      ValueError: a shape or dtype is wrong, or the implementation cannot serve.
    """
    arguments = weights, steps, x1, key_values, key_mask
    _check(*arguments, num_heads)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation is {implementation!r}; expected one of {IMPLEMENTATIONS}."
        )
    if implementation is None:
        implementation = "pallas" if serves(weights, x1, key_values) else "xla"
    if implementation == "xla":
        return reference.sample(*arguments, num_heads=num_heads)
    parameters = interpreter.parameters()
    on_tpu = functools.partial(_whole, num_heads=num_heads)
    elsewhere = functools.partial(on_tpu, interpret=parameters)
    return jax.lax.platform_dependent(
        *arguments, tpu=on_tpu, default=elsewhere if parameters else _refuse
    )


def serves(weights, x1, key_values):
    """Returns whether the program fits the first device, or is interpreted."""
    if interpreter.parameters():
        return True
    device = jax.devices()[0]
    available = VMEM.get(device.device_kind, 0) * 2**20
    return device.platform == "tpu" and (
        tpu.vmem_needed(weights, x1, key_values) < available
    )


def _whole(weights, steps, x1, key_values, key_mask, **options):
    x1 = lowering.refuse_partition(
        x1,
        "the resident denoiser met a program for several devices; expected one device, "
        "a shard_map, or implementation='xla'.",
    )
    arguments = weights, steps, x1, key_values, key_mask
    sample = functools.partial(tpu.sample, **options)
    if options.get("interpret"):
        return sample(*arguments)
    return lowering.on_platform("tpu", sample, *arguments)


def _refuse(weights, steps, x1, *_):
    del weights, steps
    return lowering.refuse(
        x1,
        "the resident denoiser by 'pallas' serves TPUs; on another platform expected "
        "implementation='xla' or None (for tests: pallas_kernels.interpreter).",
    )


def _check(weights, steps, x1, key_values, key_mask, num_heads):
    """Raises ValueError where a shape or a dtype is wrong."""
    if x1.ndim != 4 or key_values.ndim != 5:
        raise ValueError(
            f"x1 and key_values have shapes {x1.shape} and {key_values.shape}; "
            "expected [B, C, L, E] and [N, 2, B, S, I]."
        )
    requests, _, length, embedding = x1.shape
    layers, _, _, keys, inner = key_values.shape
    width = weights.qkv.shape[1]
    expected = {
        "key_values": (key_values, (layers, 2, requests, keys, inner)),
        "key_mask": (key_mask, (requests, keys)),
        "weights.positions": (weights.positions, (length, width)),
        "weights.qkv": (weights.qkv, (layers, width, 3 * inner)),
        "weights.self_out": (weights.self_out, (layers, inner, width)),
        "weights.query": (weights.query, (layers, width, inner)),
        "weights.cross_out": (weights.cross_out, (layers, inner, width)),
        "weights.unembed": (weights.unembed, (width, embedding)),
        "steps.time": (steps.time, (len(steps.scale), 1, width)),
    }
    for name, (x, shape) in expected.items():
        if x.shape != shape:
            raise ValueError(f"{name} has shape {x.shape}; expected {shape}.")
    if inner % num_heads:
        raise ValueError(f"num_heads is {num_heads}; expected a divisor of {inner}.")
    if key_mask.dtype != jnp.bool_:
        raise ValueError(f"key_mask has dtype {key_mask.dtype}; expected bool.")
    if key_values.dtype != weights.qkv.dtype:
        raise ValueError(
            f"key_values has dtype {key_values.dtype}; expected the weights', "
            f"{weights.qkv.dtype}."
        )
