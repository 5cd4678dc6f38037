"""What attention costs: ours beside XLA's, cuDNN's and JAX's own kernels.

    python -m pallas_kernels.attention.bench

On an accelerator: the median time of a forward and of a forward and backward pass, the
error of the output against the definition in float32, and the share of the roofline.
With none: what the TPU compiler says of the same programs (`pip install libtpu`), or
with `--generation h100` the GPU compilers (`make test-gpu-compile` puts them into
`.venv/cuda-3.11`, for `PYTHONPATH`). Rows go from and to [B, T, N H], the form that
projections take and give.
"""

import argparse
import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu import flash_attention, splash_attention

from pallas_kernels import deviceless
from pallas_kernels.attention import api, cases, reference

CASES = (
    cases.Case(128, 128, "none", batch=64, heads=8),
    cases.Case(128, 128, "prefix", batch=64, heads=8),
    cases.Case(128, 128, "prefix", True, batch=64, heads=8),
    cases.Case(129, 129, "prefix", batch=64, heads=8),
    cases.Case(128, 512, "prefix", batch=64, heads=8),
    cases.Case(512, 512, "prefix", batch=16, heads=8),
    cases.Case(1024, 1024, "prefix", batch=8, heads=8),
    cases.Case(1024, 1024, "prefix", True, batch=8, heads=8),
)
# Peak of bfloat16 and of HBM, FLOP/s and bytes/s, by the device's kind.
PEAKS = {
    "TPU v4": (275e12, 1.2e12),
    "TPU v5 lite": (197e12, 0.82e12),
    "TPU v5": (459e12, 2.77e12),
    "TPU v6 lite": (918e12, 1.64e12),
    "NVIDIA H100 80GB HBM3": (989e12, 3.35e12),
}


def main():
    """Prints a table, of times or of what the compiler says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--generation", default="v5e", choices=[*deviceless.TOPOLOGIES, "h100"]
    )
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    if jax.default_backend() == "cpu" and options.generation == "h100":
        count_on_gpu()
    elif jax.default_backend() == "cpu":
        count(options.generation)
    else:
        measure(options.repeats)


def count(generation):
    """Prints what the TPU compiler says of every case, pass and implementation."""
    print(f"{generation}, bfloat16, jax {jax.__version__}, compiled without a device\n")
    print("| case | pass | by | HBM MB | temporaries MB | VMEM KB | code KB |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    device = deviceless.chip(generation)
    for case in CASES:
        for name, direction, function, arguments in programs(case, ON_TPU):
            start = f"| {case.name} | {direction} | {name} |"
            try:
                found = deviceless.compile_for(device, function, *arguments)
            except Exception as error:  # the compiler's own, of many types
                print(start, f"refused: {str(error).splitlines()[0][:60]} | | | |")
                continue
            megabytes = found.hbm_bytes / 1e6, found.temporaries / 1e6
            print(
                start,
                " | ".join(f"{x:.1f}" for x in megabytes),
                f"| {found.vmem_bytes >> 10} | {found.code_bytes >> 10} |",
                flush=True,
            )


def count_on_gpu():
    """Prints what the GPU compilers say of every case, pass and implementation."""
    print(f"H100, bfloat16, jax {jax.__version__}, compiled without a device\n")
    print("| case | pass | by | HBM MB | temporaries MB | registers | spilled bytes |")
    print("| --- | --- | --- | ---: | ---: | --- | --- |")
    for case in CASES:
        for name, direction, function, arguments in programs(case, ON_GPU):
            start = f"| {case.name} | {direction} | {name} |"
            try:
                found = deviceless.compile_for(deviceless.gpu(), function, *arguments)
            except Exception as error:  # the compilers' own, of many types
                print(start, f"refused: {str(error).splitlines()[0][:60]} | | | |")
                continue
            kernels = [", ".join(map(str, x)) for x in (found.registers, found.spilled)]
            print(
                start,
                f"{found.hbm_bytes / 1e6:.1f} | {found.temporaries / 1e6:.1f} |",
                " | ".join(kernels),
                "|",
                flush=True,
            )


def measure(repeats):
    """Prints median times of every case, pass and implementation on this device."""
    kind = jax.devices()[0].device_kind
    print(f"{kind}, bfloat16, jax {jax.__version__}, medians of {repeats}\n")
    implementations = ON_GPU if jax.default_backend() == "gpu" else ON_TPU
    print("| case | pass | by | ms | TFLOP/s | of the roofline | error |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for case in CASES:
        true = None
        for name, direction, function, shapes in programs(case, implementations):
            arguments = draw(case, shapes)
            start = f"| {case.name} | {direction} | {name} |"
            try:
                seconds, out = timed(jax.jit(function), arguments, repeats)
            except Exception as error:  # a kernel that this device does not take
                print(start, f"refused: {str(error).splitlines()[0][:60]} | | | |")
                continue
            if true is None:
                true = definition(case, arguments)
            rate, share = roofline(case, direction, seconds, PEAKS.get(kind))
            out = jax.tree.leaves(out)[0].astype(jnp.float32)
            error = np.linalg.norm(out - true) / np.linalg.norm(true)
            print(
                start,
                f"{1e3 * seconds:.3f} | {rate / 1e12:.1f} | {share} | {error:.1e} |",
                flush=True,
            )


def programs(case, implementations):
    """Yields (name, pass, function, shapes of its arguments) of implementations.

    A forward pass takes query, key, value, mask and bias, rows as [B, T, N H], and
    gives rows; a backward pass takes the gradient of the output as well.
    """
    *rows, mask, bias, gradient = case.shapes(jnp.bfloat16)
    *rows, gradient = (
        jax.ShapeDtypeStruct((*x.shape[:2], case.heads * case.head_width), x.dtype)
        for x in (*rows, gradient)
    )
    for name, attend in implementations.items():
        forward = functools.partial(_flat, attend, case)
        yield name, "forward", forward, (*rows, mask, bias)
        backward = functools.partial(_both, forward)
        yield name, "both", backward, (*rows, mask, bias, gradient)


def _flat(attend, case, query, key, value, mask, bias):
    def heads(x):
        return x.reshape(*x.shape[:2], case.heads, case.head_width)

    return attend(heads(query), heads(key), heads(value), mask, bias).reshape(
        query.shape
    )


def _both(forward, query, key, value, mask, bias, gradient):
    def call(query, key, value, bias):
        return forward(query, key, value, mask, bias)

    out, pull = jax.vjp(call, query, key, value, bias)
    return out, *pull(gradient)


def _by(implementation):
    def attend(query, key, value, mask, bias):
        return api.attention(
            query, key, value, key_mask=mask, bias=bias, implementation=implementation
        )

    return attend


def _segments(query, mask):
    """Returns segment ids that let every query see the keys of the mask."""
    ones = jnp.ones(query.shape[:2], jnp.int32)
    return ones, ones if mask is None else mask.astype(jnp.int32)


def _flash(query, key, value, mask, bias):
    """JAX's flash attention; its bias is not shared over the batch."""
    segments = None
    if mask is not None:
        segments = flash_attention.SegmentIds(*_segments(query, mask))
    if bias is not None:
        bias = jnp.broadcast_to(bias[None], (query.shape[0], *bias.shape))
    swapped = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    out = flash_attention.flash_attention(
        *swapped, bias, segments, sm_scale=query.shape[-1] ** -0.5
    )
    return jnp.swapaxes(out, 1, 2)


def _splash(query, key, value, mask, bias):
    """JAX's splash attention; it takes no bias."""
    if bias is not None:
        raise ValueError("splash attention takes no bias")
    length, keys, heads = query.shape[1], key.shape[1], query.shape[2]
    full = splash_attention.FullMask((length, keys))
    kernel = splash_attention.make_splash_mha(
        splash_attention.MultiHeadMask([full] * heads),
        head_shards=1,
        q_seq_shards=1,
    )
    segments = None
    if mask is not None:
        segments = splash_attention.SegmentIds(*_segments(query, mask))
    swapped = [jnp.swapaxes(x, 1, 2) for x in (query, key, value)]
    swapped[0] = swapped[0] * query.shape[-1] ** -0.5
    out = jax.vmap(kernel, in_axes=(0, 0, 0, None if mask is None else 0))(
        *swapped, segments
    )
    return jnp.swapaxes(out, 1, 2)


ON_TPU = {
    "ours": _by("pallas"),
    "xla": _by("xla"),
    "jax flash": _flash,
    "jax splash": _splash,
}
ON_GPU = {"ours": _by("pallas"), "xla": _by("xla"), "cudnn": _by("cudnn")}


def draw(case, shapes):
    """Returns arrays of the shapes, those of `Case.inputs`."""
    query, key, value, mask, bias, gradient = case.inputs()
    drawn = [query, key, value, mask, bias, gradient][: len(shapes)]
    return [
        None if x is None else jnp.asarray(x.reshape(shape.shape), shape.dtype)
        for x, shape in zip(drawn, shapes, strict=True)
    ]


def definition(case, arguments):
    """Returns the output by the definition, float32[B, T, N H]."""
    query, key, value, mask, bias, *_ = arguments
    wide = (x.astype(jnp.float32) for x in (query, key, value))

    def call(query, key, value, mask, bias):
        return reference.attention(query, key, value, key_mask=mask, bias=bias)

    with jax.default_matmul_precision("highest"):
        return jax.jit(functools.partial(_flat, call, case))(*wide, mask, bias)


def timed(function, arguments, repeats):
    """Returns the median seconds of a call, and what it gave."""
    out = jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(10):
            out = function(*arguments)
        jax.block_until_ready(out)
        seconds.append((time.perf_counter() - start) / 10)
    return statistics.median(seconds), out


def roofline(case, direction, seconds, peaks):
    """Returns FLOP/s and the share of what the device could do, as text.

    Two matmuls forward and five more backward; every row read and written once.
    """
    scores = case.batch * case.heads * case.length * case.keys
    flops = 2 * scores * case.head_width * (2 if direction == "forward" else 7)
    rate = flops / seconds
    if peaks is None:
        return rate, "unknown"
    row = case.batch * case.heads * case.head_width * 2
    times = (2, 2) if direction == "forward" else (5, 6)
    moved = row * (times[0] * case.length + times[1] * case.keys)
    bound = max(flops / peaks[0], moved / peaks[1])
    return rate, f"{bound / seconds:.0%}"


if __name__ == "__main__":
    main()
