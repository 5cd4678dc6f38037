"""How heads lie in the 128 lanes of a TPU register, and back.

An array [B, T, N, H] in HBM with H = 64 has its last axis padded to 128: half of what
is read is nothing. As [B, T, N H] it has no padding, and reshaping costs nothing. Two
heads of 64 (four of 32) then share a register, a *group*. A matmul is told which head
is meant by zeros in the other lanes of one operand: it runs over 128 lanes either way,
and nothing is ever moved across lanes.
"""

import dataclasses

import jax
import jax.numpy as jnp

LANES = 128


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where heads lie.

    Attributes:
      num_heads: N.
      head_width: H, a divisor or a multiple of 128.
    """

    num_heads: int
    head_width: int

    @property
    def group_heads(self):
        """Heads of a group."""
        return max(1, LANES // self.head_width)

    @property
    def group_width(self):
        """Lanes of a group."""
        return self.group_heads * self.head_width

    @property
    def num_groups(self):
        """Groups; the last may hold heads of zeros."""
        return -(-self.num_heads // self.group_heads)

    def pack(self, x, length):
        """Returns [B, length, groups * lanes] from [B, T, N, H], padded with zeros."""
        heads = self.num_groups * self.group_heads - self.num_heads
        x = jnp.pad(x, ((0, 0), (0, length - x.shape[1]), (0, heads), (0, 0)))
        return x.reshape(*x.shape[:2], -1)

    def unpack(self, x, length):
        """Returns [B, length, N, H] from `pack`'s form."""
        x = x.reshape(*x.shape[:2], -1, self.head_width)
        return x[:, :length, : self.num_heads]

    def pack_bias(self, bias, length, keys):
        """Returns float32[groups * heads, length, keys] from [N, T, S]."""
        heads = self.num_groups * self.group_heads - self.num_heads
        rows, columns = length - bias.shape[1], keys - bias.shape[2]
        return jnp.pad(bias.astype(jnp.float32), ((0, heads), (0, rows), (0, columns)))

    def only(self, head, x):
        """Returns x [T, lanes] with zeros outside the lanes of a head of the group."""
        return x if self.group_heads == 1 else self.where(head, x, jnp.zeros_like(x))

    def where(self, head, x, other):
        """Returns x in the lanes of a head of the group and `other` elsewhere."""
        if self.group_heads == 1:
            return x
        lane = jax.lax.broadcasted_iota(jnp.int32, x.shape, 1)
        # Bounds, because division asks which TPU this is, and none may be at hand.
        first = head * self.head_width
        return jnp.where((lane >= first) & (lane < first + self.head_width), x, other)


def round_up(number, multiple):
    """Returns the least multiple that is at least the number."""
    return -(-number // multiple) * multiple
