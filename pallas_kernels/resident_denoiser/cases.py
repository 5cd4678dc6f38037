"""Shapes that tests and benchmarks share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pallas_kernels.resident_denoiser.weights import Steps, Weights


@dataclasses.dataclass(frozen=True)
class Case:
    """A denoiser and a call of it.

    Attributes:
      width, embedding_width, num_heads, mlp_width, num_layers: of the denoiser.
      length, keys: L and S.
      requests, draws: B and the candidates of each.
      num_steps: of the sampler.
      conditioned: whether it reads its previous estimate.
      dtype: of the matrices.
    """

    width: int = 512
    embedding_width: int = 64
    num_heads: int = 8
    mlp_width: int = 2048
    num_layers: int = 10
    length: int = 128
    keys: int = 128
    requests: int = 1
    draws: int = 1
    num_steps: int = 20
    conditioned: bool = True
    dtype: str = "bfloat16"

    def shapes(self):
        """Returns weights, steps, x1, key_values and key_mask as shapes."""
        matrix, row = self._of(self.dtype), self._of("float32")
        n, d, m, e = (
            self.num_layers,
            self.width,
            self.mlp_width,
            self.embedding_width,
        )
        weights = Weights(
            embed=matrix(e * (2 if self.conditioned else 1), d),
            embed_bias=row(1, d),
            positions=matrix(self.length, d),
            self_norm=row(n, 1, d),
            qkv=matrix(n, d, 3 * d),
            self_out=matrix(n, d, d),
            cross_norm=row(n, 1, d),
            query=matrix(n, d, d),
            cross_out=matrix(n, d, d),
            mlp_norm=row(n, 1, d),
            mlp_in=matrix(n, d, m),
            mlp_out=matrix(n, m, d),
            norm=row(1, d),
            unembed=matrix(d, e),
            unembed_bias=row(1, e),
        )
        numbers = row(self.num_steps)
        steps = Steps(row(self.num_steps, 1, d), numbers, numbers, numbers)
        return (
            weights,
            steps,
            row(self.requests, self.draws, self.length, e),
            matrix(n, 2, self.requests, self.keys, d),
            self._of("bool")(self.requests, self.keys),
        )

    def inputs(self, seed=0):
        """Returns arrays of those shapes, drawn so that rows keep their size."""
        draw = np.random.default_rng(seed)

        def normal(x):
            spread = x.shape[-2] ** -0.5 if x.ndim > 1 else 1.0
            return jnp.asarray(spread * draw.standard_normal(x.shape), x.dtype)

        weights, steps, x1, key_values, mask = self.shapes()
        norms = {
            name: jnp.ones(getattr(weights, name).shape)
            for name in ("self_norm", "cross_norm", "mlp_norm", "norm")
        }
        weights = Weights(*map(normal, weights))._replace(**norms)
        down = jnp.linspace(1.0, 0.0, self.num_steps + 1)
        steps = Steps(
            0.1 * normal(steps.time), 1.0 + down[1:], 0.9 * down[1:], 1.0 - down[1:]
        )
        lengths = draw.integers(1, self.keys + 1, (self.requests, 1))
        return (
            weights,
            steps,
            jnp.asarray(draw.standard_normal(x1.shape), jnp.float32),
            jnp.asarray(draw.standard_normal(key_values.shape), key_values.dtype),
            jnp.asarray(np.arange(self.keys) < lengths),
        )

    @staticmethod
    def _of(dtype):
        return lambda *shape: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))


PAPER = Case()
TINY = Case(
    width=32,
    embedding_width=8,
    num_heads=2,
    mlp_width=64,
    num_layers=2,
    length=14,
    keys=22,
    requests=2,
    draws=3,
    num_steps=5,
    dtype="float32",
)
