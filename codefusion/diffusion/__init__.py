"""Diffusion in plain `jax.numpy`: schedules, process, times, losses, samplers.

The tables below are the choices that a config can name; a new one is one line.
"""

from codefusion.diffusion.gaussian import GaussianProcess
from codefusion.diffusion.losses import PaperLoss, RoundingLoss, TokenLoss
from codefusion.diffusion.rounding import ROUNDINGS, nearest_log_probs
from codefusion.diffusion.samplers import (
    DDIM,
    DDPM,
    DPMSolverPP,
    coefficients,
    guide,
    sample,
    time_grid,
)
from codefusion.diffusion.schedules import (
    CosineSchedule,
    LinearSchedule,
    SqrtSchedule,
)
from codefusion.diffusion.times import StratifiedTimes, UniformTimes

SCHEDULES = {"sqrt": SqrtSchedule, "cosine": CosineSchedule, "linear": LinearSchedule}
TIMES = {"uniform": UniformTimes, "stratified": StratifiedTimes}
LOSSES = {"paper": PaperLoss, "tokens": TokenLoss, "rounding": RoundingLoss}
SAMPLERS = {"ddpm": DDPM, "ddim": DDIM, "dpm_solver_pp": DPMSolverPP}

__all__ = [
    "LOSSES",
    "ROUNDINGS",
    "SAMPLERS",
    "SCHEDULES",
    "TIMES",
    "GaussianProcess",
    "coefficients",
    "guide",
    "nearest_log_probs",
    "sample",
    "time_grid",
]
