"""Cross-attention that follows the diagonal: where copying is learned.

A name or number moves from request to program as a run of tokens, so that when target
position l attends to source position s, position l + k most likely wants s + k. A model
that writes all positions at once must otherwise learn this arithmetic of positions by
itself; here it is given. With q k the usual scores,

    a_0     = softmax(q k)
    a_{i+1} = softmax(q k + sum_d w_d a_i[l - d, s - d])

for a few rounds i and learned weights w of the offsets d. This is location-aware
attention (Chorowski et al. 2015, section 2.2) over positions that are refined together,
and not over time. `docs/recipe.md` has what it is worth.
"""

import flax.linen as nn
import jax.numpy as jnp

# A weight moves score by this factor: scores of about 5 decide a softmax, and an
# optimizer's steps are small.
_STRENGTH = 10.0


class DiagonalConvolution(nn.Module):
    """Scores from attention weights along the diagonals: sum_d w_d a[l - d, s - d].

    Attributes:
      max_length: the longest L.
    """

    max_length: int

    @nn.compact
    def __call__(self, weights):
        """Returns scores [B, N, L, S] from attention weights of that shape."""
        _, heads, length, source = weights.shape
        reach = self.max_length - 1
        # Not "kernel": a weight for each offset is a table, no matrix to an optimizer.
        offsets = self.param("offsets", _follow_the_left, (heads, 2 * reach + 1))
        position = jnp.arange(length)
        distance = position[:, None] - position[None, :]
        by_position = _STRENGTH * offsets[:, distance + reach]  # [N, L, L]
        moved = jnp.einsum(
            "nlm,bnmd->bnld", by_position.astype(weights.dtype), skew(weights)
        )
        return unskew(moved, source)


def _follow_the_left(key, shape):
    """Returns the initial w: follow the positions on the left, the near ones most."""
    del key
    reach = shape[1] // 2
    offset = jnp.arange(-reach, reach + 1)
    return jnp.broadcast_to(
        jnp.where(offset > 0, 0.3 * jnp.exp(-jnp.abs(offset) / 8.0), 0.0), shape
    )


def skew(x):
    """Returns y with y[l, s - l + L - 1] = x[l, s], [..., L, S + L - 1].

    A flat array of rows one element too short makes every row begin one later.
    """
    *lead, length, source = x.shape
    none = [(0, 0)] * len(lead)
    flat = jnp.pad(x, [*none, (0, 0), (length - 1, 0)]).reshape(*lead, -1)
    flat = jnp.pad(flat, [*none, (0, length)])
    return flat.reshape(*lead, length, source + length)[..., :-1]


def unskew(y, source):
    """Returns x with x[l, s] = y[l, s - l + L - 1], [..., L, S]."""
    *lead, length, width = y.shape
    if length == 1:  # rows one element too short would lack the last one
        return y
    flat = y.reshape(*lead, -1)
    flat = flat[..., length - 1 : length - 1 + length * (width - 1)]
    return flat.reshape(*lead, length, width - 1)[..., :source]
