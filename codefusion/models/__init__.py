"""The network, in flax.linen; nothing outside this package imports flax.

`MODELS` and `HEADS` are the choices that a config can name.
"""

from codefusion.models.codefusion import CodeFusion, Context
from codefusion.models.decoder import CopyHead, TokenHead

MODELS = {"codefusion": CodeFusion}
HEADS = {"copy": CopyHead, "token": TokenHead}

__all__ = ["HEADS", "MODELS", "CodeFusion", "Context"]
