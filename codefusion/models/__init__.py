"""The network, in flax.linen; nothing outside this package imports flax.

`MODELS` and `HEADS` are the choices that a config can name.
"""

from codefusion.models import resident
from codefusion.models.codefusion import CodeFusion, Context
from codefusion.models.decoder import CopyHead, TokenHead
from codefusion.models.pretrained import load_encoder

MODELS = {"codefusion": CodeFusion}
HEADS = {"token": TokenHead, "copy": CopyHead}

__all__ = ["HEADS", "MODELS", "CodeFusion", "Context", "load_encoder", "resident"]
