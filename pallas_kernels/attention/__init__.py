"""Attention of short rows with heads of 64, masks by example and a shared bias."""

from pallas_kernels.attention.api import IMPLEMENTATIONS, attention, platforms

__all__ = ["IMPLEMENTATIONS", "attention", "platforms"]
