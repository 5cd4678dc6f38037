"""Attention with masks by example and a shared, differentiable bias."""

from pallas_kernels.attention.api import IMPLEMENTATIONS, attention, platforms

__all__ = ["IMPLEMENTATIONS", "attention", "platforms"]
