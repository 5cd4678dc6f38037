"""The networks, in flax.linen; nothing outside this package imports flax.

`MODELS` and `HEADS` are the choices that a config can name.
"""

from codefusion.models import resident
from codefusion.models.autoregressive import Autoregressive
from codefusion.models.codefusion import CodeFusion
from codefusion.models.decoder import CopyHead, TokenHead
from codefusion.models.pretrained import load_encoder
from codefusion.models.source import Context

MODELS = {"codefusion": CodeFusion, "autoregressive": Autoregressive}
HEADS = {"token": TokenHead, "copy": CopyHead}

__all__ = [
    "HEADS",
    "MODELS",
    "Autoregressive",
    "CodeFusion",
    "Context",
    "load_encoder",
    "resident",
]
