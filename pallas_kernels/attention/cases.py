"""Shapes that tests and benchmarks share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """A call of `attention`.

    Attributes:
      length, keys: T and S.
      mask: "none", "prefix", "holes" or "empty" (one example without any key).
      biased: whether there is a position bias.
      batch, heads, head_width: B, N and H.
    """

    length: int
    keys: int
    mask: str = "none"
    biased: bool = False
    batch: int = 2
    heads: int = 4
    head_width: int = 64

    @property
    def name(self):
        """A name for tests and tables."""
        shape = f"{self.batch}x{self.length}x{self.keys}x{self.heads}x{self.head_width}"
        return f"{shape}-{self.mask}{'-bias' if self.biased else ''}"

    def inputs(self, seed=0):
        """Returns query, key, value, key_mask, bias, gradient as float64 arrays.

        The mask is bool[B, S] or None, the bias [N, T, S] or None; the gradient has the
        shape of the output, [B, T, N, H].
        """
        draw = np.random.default_rng(seed).standard_normal
        heads = self.heads, self.head_width
        query = draw((self.batch, self.length, *heads))
        key, value = (draw((self.batch, self.keys, *heads)) for _ in range(2))
        bias = draw((self.heads, self.length, self.keys)) if self.biased else None
        return query, key, value, self._mask(seed), bias, draw(query.shape)

    def shapes(self, dtype):
        """Returns the `jax.ShapeDtypeStruct`s of `inputs`, rows in a dtype."""
        heads = self.heads, self.head_width
        rows = jax.ShapeDtypeStruct((self.batch, self.length, *heads), dtype)
        keys = jax.ShapeDtypeStruct((self.batch, self.keys, *heads), dtype)
        mask = bias = None
        if self.mask != "none":
            mask = jax.ShapeDtypeStruct((self.batch, self.keys), jnp.bool_)
        if self.biased:
            shape = self.heads, self.length, self.keys
            bias = jax.ShapeDtypeStruct(shape, jnp.float32)
        return rows, keys, keys, mask, bias, rows

    def _mask(self, seed):
        shape = self.batch, self.keys
        draw = np.random.default_rng(seed + 1)
        if self.mask == "none":
            return None
        if self.mask == "prefix":
            lengths = draw.integers(1, self.keys + 1, (self.batch, 1))
            return np.arange(self.keys) < lengths
        mask = draw.random(shape) < 0.5
        if self.mask == "empty":
            mask[0] = False
        return mask


LENGTHS = (1, 7, 64, 128, 129, 300, 512, 1024)
MASKS = ("none", "prefix", "holes", "empty")

# Every length, every mask, with and without bias, and T unlike S.
CASES = (
    *(Case(n, n, MASKS[i % 4], i % 2 == 0) for i, n in enumerate(LENGTHS)),
    *(Case(n, n, MASKS[(i + 1) % 4], i % 2 == 1) for i, n in enumerate(LENGTHS)),
    Case(7, 129, "holes", True),
    Case(129, 7, "prefix"),
    Case(64, 300, "empty", True),
    Case(1, 1024, "holes"),
    Case(1024, 128, "prefix", True),
    Case(600, 520, "holes", True),
    Case(128, 128, "prefix", True, heads=3),
    Case(128, 128, "holes", True, heads=8, head_width=32),
    Case(128, 128, "empty", True, heads=2, head_width=128),
    Case(700, 700, "holes", True, heads=5, head_width=32),
    Case(700, 700, "prefix", True, heads=1, head_width=128),
    Case(22, 36, "prefix", heads=2, head_width=16, batch=3),
    Case(128, 128, "prefix", heads=8, batch=8),
)
