"""What of the denoiser fits on which TPU, and what a step costs there.

    python -m pallas_kernels.resident_denoiser.bench

On a TPU: the median time of a sample beside the loop over steps. With none: how many of
the paper's layers the TPU compiler fits into VMEM (`pip install libtpu`), what HBM a
step costs, and the times that this and the arithmetic allow.
"""

import argparse
import dataclasses
import functools
import statistics
import time

import jax

from pallas_kernels import deviceless, resident_denoiser
from pallas_kernels.resident_denoiser import cases, tpu

# Peak of bfloat16 and of HBM, FLOP/s and bytes/s, of a core: chips of v4, v5p and tpu7x
# have two, which v4 and v5p show as one.
PEAKS = {
    "v4": (275e12, 1.2e12),
    "v5e": (197e12, 0.82e12),
    "v5p": (459e12, 2.77e12),
    "v6e": (918e12, 1.64e12),
    "tpu7x": (1150e12, 3.7e12),
}
MOST_LAYERS = 20


def main():
    """Prints a table, of times or of what the compiler says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", nargs="+", default=list(deviceless.TOPOLOGIES))
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    if jax.default_backend() == "tpu":
        measure(options.repeats)
    else:
        count(options.generations)


def count(generations):
    """Prints what fits, and what a step of the paper's denoiser costs."""
    print(f"bfloat16, jax {jax.__version__}, compiled without a device\n")
    print("| TPU | layers that fit | VMEM of the paper's 10, MiB |")
    print("| --- | ---: | ---: |")
    fitting = {name: most_layers(name) for name in generations}
    for name, layers in fitting.items():
        size = "does not fit"
        if layers >= cases.PAPER.num_layers:
            size = f"{compiled(name, cases.PAPER).vmem_bytes / 2**20:.1f}"
        print(f"| {name} | {layers} | {size} |", flush=True)
    print()
    print("| TPU | candidates | HBM a step, MB | us: one load a step | arithmetic |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, layers in fitting.items():
        if layers < cases.PAPER.num_layers:
            continue
        for draws in (1, 8):
            case = dataclasses.replace(cases.PAPER, draws=draws)
            moved = compiled(name, case).hbm_bytes / case.num_steps
            rate, bandwidth = PEAKS[name]
            read, work = weight_bytes(case) / bandwidth, flops(case) / rate
            print(
                f"| {name} | {draws} | {moved / 1e6:.2f} | "
                f"{1e6 * read:.1f} | {1e6 * work:.1f} |",
                flush=True,
            )


def most_layers(generation):
    """Returns how many of the paper's layers fit, by bisection."""
    low, high = 0, MOST_LAYERS + 1
    while high - low > 1:
        middle = (low + high) // 2
        try:
            compiled(generation, dataclasses.replace(cases.PAPER, num_layers=middle))
            low = middle
        except jax.errors.JaxRuntimeError:
            high = middle
    return low


def compiled(generation, case):
    """Returns what the compiler says of a case, a `deviceless.Compiled`."""
    sample = functools.partial(tpu.sample, num_heads=case.num_heads)
    return deviceless.compile_for(deviceless.chip(generation), sample, *case.shapes())


def weight_bytes(case):
    """Returns the bytes of the weights, which a loop over steps reads every step."""
    return case.shapes()[0].nbytes


def flops(case):
    """Returns the multiplications and additions of a step of all candidates."""
    weights = case.shapes()[0]
    matrices = sum(x.size for x in weights if x.dtype == weights.qkv.dtype)
    scores = 2 * case.num_layers * (case.length + case.keys) * case.width
    return 2 * case.requests * case.draws * case.length * (matrices + scores)


def measure(repeats):
    """Prints median times of a sample by one program and by the loop."""
    print(
        f"{jax.devices()[0].device_kind}, jax {jax.__version__}, median of {repeats}\n"
    )
    print("| candidates | by | ms a sample | us a step |")
    print("| ---: | --- | ---: | ---: |")
    for draws in (1, 8):
        case = dataclasses.replace(cases.PAPER, draws=draws)
        arguments = case.inputs()
        for name in ("pallas", "xla"):
            sample = jax.jit(
                functools.partial(
                    resident_denoiser.sample,
                    num_heads=case.num_heads,
                    implementation=name,
                )
            )
            seconds = timed(sample, arguments, repeats)
            step = 1e6 * seconds / case.num_steps
            print(f"| {draws} | {name} | {1e3 * seconds:.3f} | {step:.1f} |")


def timed(function, arguments, repeats):
    """Returns the median seconds of a call."""
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
