"""All steps of a sampler in one program, with the denoiser's weights on the chip."""

from pallas_kernels.resident_denoiser.api import sample, serves
from pallas_kernels.resident_denoiser.weights import Steps, Weights

__all__ = ["Steps", "Weights", "sample", "serves"]
