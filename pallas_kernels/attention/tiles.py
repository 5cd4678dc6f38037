"""What the TPU kernels share: scores of one head, maxima and matmuls of tiles."""

import dataclasses

import jax
import jax.numpy as jnp

from pallas_kernels.attention import layout
from pallas_kernels.attention.masking import LEAST, MASKED


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a kernel knows when it is compiled.

    Attributes:
      layout: a `layout.Layout`.
      scale: multiplies the scores.
      interpret: passed to `pallas_call`.
    """

    layout: layout.Layout
    scale: float
    interpret: object = False

    def scores(self, head, query, key, mask, bias, *, example=0):
        """Returns the scores of a head, float32[T, S].

        Args:
          head: which of the group.
          query: [T, lanes].
          key: [S, lanes].
          mask: a reference to int32[examples, 1, S], or None.
          bias: a reference to float32[heads, T, S], or None.
          example: which of the mask.
        """
        scores = matmul(self.layout.only(head, query), key, (1, 1)) * self.scale
        if bias is not None:
            scores = scores + bias[head]
        if mask is not None:
            scores = jnp.where(mask[example] != 0, scores, MASKED)
        return scores


def highest(scores):
    """Returns the maximum of each row [T, 1], at least `LEAST`."""
    return jnp.maximum(jnp.max(scores, axis=-1, keepdims=True), LEAST)


def matmul(x, y, contracted):
    """Returns the float32 product of two tiles over one axis of each.

    A float32 product on the matrix unit takes bfloat16 unless told otherwise.
    """
    return jax.lax.dot_general(
        x,
        y,
        (((contracted[0],), (contracted[1],)), ((), ())),
        precision=jax.lax.Precision.HIGHEST if x.dtype == jnp.float32 else None,
        preferred_element_type=jnp.float32,
    )
