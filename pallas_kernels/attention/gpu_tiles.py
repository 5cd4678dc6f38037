"""What the GPU kernels share: tiles in shared memory, and products of two of them.

A Pallas thread is a warpgroup: 128 CUDA threads that together hold a matrix of 64 rows
in their registers. A program is one warpgroup. It keeps the tile of its rows, and the
other side streams past it through shared memory, two tiles at a time.
"""

import dataclasses

import jax
import jax.experimental.pallas as pl
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp

ROWS = 64
STAGES = 2
LOG2_E = 1.4426950408889634  # the hardware has exp2; scores are kept in its base


@dataclasses.dataclass(frozen=True)
class Side:
    """The rows of a matrix in registers, or its columns: one number for each.

    Attributes:
      axis: 0 for the rows, 1 for the columns.
    """

    axis: int

    @property
    def other(self):
        """The other side."""
        return Side(1 - self.axis)

    def order(self, own, others):
        """Returns what is of this side and of the other, that of the rows first."""
        return (others, own) if self.axis else (own, others)

    def full(self, number):
        """Returns a number for each of `ROWS`, float32."""
        return self._laid(jnp.full((ROWS,), number, jnp.float32))

    def load(self, tile):
        """Returns the numbers of a vector in shared memory."""
        return self._laid(tile[...])

    def spread(self, x, like):
        """Returns a matrix of the shape of another from the numbers of this side."""
        return jax.lax.broadcast_in_dim(x, like.shape, (self.axis,))

    def _laid(self, x):
        return plgpu.layout_cast(x, plgpu.Layout.WGMMA.reduce(1 - self.axis))


BY_ROW, BY_COLUMN = Side(0), Side(1)


def kernel(body, out_type, grid, scratch_types):
    """Returns a kernel of one warpgroup for each program of a grid, name -> size."""
    return plgpu.kernel(
        body,
        out_type=out_type,
        grid=tuple(grid.values()),
        grid_names=tuple(grid),
        scratch_types=scratch_types,
        compiler_params=plgpu.CompilerParams(approx_math=True),
    )


def tile_of(axis):
    """Returns the rows of this program along an axis of the grid."""
    return pl.ds(jax.lax.axis_index(axis) * ROWS, ROWS)


def matrix(width, dtype):
    """Returns the type of `ROWS` rows in shared memory."""
    return plgpu.SMEM((ROWS, width), dtype, transforms=_swizzled(width, dtype))


def vector():
    """Returns the type of one number for each of `ROWS` rows in shared memory."""
    return plgpu.SMEM((ROWS,), jnp.float32)


def fetch(pairs, arrived):
    """Copies (source, tile in shared memory) pairs and waits for all."""
    for source, tile in pairs:
        plgpu.copy_gmem_to_smem(source, tile, arrived)
    plgpu.barrier_wait(arrived)


def store(pairs):
    """Copies (tile in shared memory, target) pairs and waits for all."""
    plgpu.commit_smem()
    for tile, target in pairs:
        plgpu.copy_smem_to_gmem(tile, target)
    plgpu.wait_smem_to_gmem(0)


def stream(body, steps, sources, carry):
    """Returns the carry after all steps of body(tiles, carry).

    Args:
      body: function of the tiles in shared memory, a dict, and of the carry.
      steps: the number of steps.
      sources: name -> (reference, axis, size): a step takes the next `size` elements
        of the axis, or with None the next one alone.
      carry: what the first step gets.
    """

    def step(_, *tiles_and_carry):
        *tiles, carry = tiles_and_carry
        return body(dict(zip(sources, tiles, strict=True)), carry)

    pipeline = plgpu.emit_pipeline(
        step,
        grid=(steps,),
        in_specs=[_block(*source) for source in sources.values()],
        max_concurrent_steps=STAGES,
        init_carry=carry,
    )
    return pipeline(*(ref for ref, *_ in sources.values()))


def _block(ref, axis, size):
    shape = [*ref.shape]
    shape[axis] = size
    sizes = [n for n in shape if n is not None]
    return plgpu.BlockSpec(
        tuple(shape),
        lambda step: tuple(step if i == axis else 0 for i in range(len(shape))),
        transforms=_swizzled(sizes[-1], ref.dtype) if len(sizes) == 2 else (),
    )


def _swizzled(width, dtype):
    """Returns how rows of a width lie for the matrix unit to read without conflicts."""
    size = jnp.dtype(dtype).itemsize
    swizzle = plgpu.find_swizzle(8 * size * width)
    return (
        plgpu.TilingTransform((8, swizzle // size)),
        plgpu.SwizzleTransform(swizzle),
    )


def zeros(width):
    """Returns float32[ROWS, width] of zeros in registers."""
    return plgpu.layout_cast(jnp.zeros((ROWS, width), jnp.float32), plgpu.Layout.WGMMA)


def scores(now, queries, *, scale):
    """Returns the scores of a tile in base 2, masked, float32 in registers.

    Args:
      now: the tiles `query` and `key` in shared memory, and of `bias`, laid as the
        scores, and `penalty` of the keys where there are such.
      queries: the `Side` of the scores that queries are.
      scale: multiplies the products.
    """
    found = product(*queries.order(now["query"], now["key"])) * (scale * LOG2_E)
    if "bias" in now:
        bias = plgpu.layout_cast(now["bias"][...], plgpu.Layout.WGMMA)
        found += bias * LOG2_E
    if "penalty" in now:
        penalty = queries.other.load(now["penalty"])
        found += queries.other.spread(penalty, found)
    return found


def product(x, y):
    """Returns x y^T of two tiles in shared memory, as float32 in registers."""

    def multiply(found):
        plgpu.wgmma(found, x, plgpu.transpose_ref(y, (1, 0)))
        return found[...]

    shape = x.shape[0], y.shape[0]
    return pl.run_scoped(multiply, plgpu.ACC(shape, jnp.float32))


def add_product(total, x, y):
    """Returns total + x y of matrices in registers and a tile y in shared memory."""
    x = x.astype(y.dtype)
    return pl.run_state(lambda ref: plgpu.wgmma(ref, x, y))(plgpu.ACC.init(total))
