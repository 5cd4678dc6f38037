"""What a run survives, measured: each script breaks runs and compares the bits.

    python -m benchmarks.reliability.kill --kills=100 --seed=0

A script exits with code 1 when one of its figures is missed, and its last line of
output holds them all.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before any script imports jax
