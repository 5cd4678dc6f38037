"""A training step with the kernel, on eight chips that need not exist."""

import jax
import jax.numpy as jnp
import pytest

from codefusion import diffusion, models, sharding
from codefusion.training import objectives, optimizers, step
from codefusion.types import Batch
from pallas_kernels import deviceless

pytestmark = [
    pytest.mark.tpu_compile,
    pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed"),
]

ROWS, LENGTH, VOCABULARY = 64, 64, 512
MODEL = models.CodeFusion(
    vocab_size=VOCABULARY,
    width=128,
    embedding_width=32,
    num_heads=2,
    head_width=64,
    mlp_width=512,
    encoder_layers=2,
    denoiser_layers=2,
    decoder_layers=1,
    max_source_length=LENGTH,
    max_target_length=LENGTH,
    alignment_rounds=0,
    dropout=0.1,
    dtype=jnp.bfloat16,
)


@pytest.mark.parametrize("shape", [(1, 8, 1), (2, 2, 2)], ids=str)
def test_a_sharded_training_step_compiles_with_the_kernel(shape):
    data, fsdp, tensor = shape
    mesh = sharding.make_mesh(
        sharding.MeshShape(data, fsdp, tensor), deviceless.devices("v5e:2x4")
    )
    objective = objectives.Objective(
        model=MODEL,
        process=diffusion.GaussianProcess(diffusion.SqrtSchedule(), 0.25),
        times=diffusion.StratifiedTimes(),
        loss=diffusion.TokenLoss(),
        context_dropout=0.0,
        self_conditioning=0.5,
        has_code_rows=False,
    )
    optimizer = optimizers.OPTIMIZERS["adamw"]().build(100)
    rows = sharding.batch_sharding(mesh, ROWS)

    def tokens(dtype):
        return jax.ShapeDtypeStruct((ROWS, LENGTH), dtype, sharding=rows)

    words, mask = tokens(jnp.int32), tokens(jnp.bool_)
    flags = jax.ShapeDtypeStruct((ROWS,), jnp.bool_, sharding=rows)
    batch = Batch(words, mask, words, mask, flags)

    def start(key):
        row = jnp.zeros((1, LENGTH), jnp.int32)
        params = MODEL.init(key, row, row == 0, row)["params"]
        return step.init_state(params, optimizer)

    state = sharding.on_mesh(jax.eval_shape(start, jax.random.key(0)), mesh)
    key = jax.eval_shape(jax.random.key, 0)
    key = jax.ShapeDtypeStruct((), key.dtype, sharding=sharding.replicated(mesh))
    with jax.set_mesh(mesh):
        train_step = step.make_train_step(objective, optimizer, ema_decay=0.999)
        compiled = train_step.lower(state, batch, key).compile()
    text = compiled.as_text()
    for name in ("attention_short_forward", "attention_short_backward", "all-reduce"):
        assert name in text
    assert ("all-gather" in text) == (fsdp > 1)
    # The state comes back where it lay, so that its memory serves again.
    returned = compiled.output_shardings[0]
    for before, after, leaf in zip(
        *map(jax.tree.leaves, (state, returned, state)), strict=True
    ):
        assert after.is_equivalent_to(before.sharding, leaf.ndim)
