"""Code from natural language by continuous diffusion, in JAX.

model = codefusion.load()  # that of the package; or a work directory
model.generate(["find all pdf files larger than 10MB"])
"""

__version__ = "0.1.0"
__all__ = ["load"]


def __getattr__(name):
    """Returns `load`, imported when it is first asked for: JAX takes a second."""
    if name == "load":
        from codefusion.inference import load

        return load
    raise AttributeError(f"module 'codefusion' has no attribute {name!r}")
