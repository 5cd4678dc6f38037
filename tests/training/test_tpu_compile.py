"""A training step with the kernel, on eight chips that need not exist."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codefusion import diffusion, models
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


def over_devices(loss_fn, mesh):
    """Returns the loss of a batch whose rows are spread over the mesh."""

    def local(params, batch, key):
        key = jax.random.fold_in(key, jax.lax.axis_index("data"))
        return jax.lax.pmean(loss_fn(params, batch, key), "data")

    whole, rows = PartitionSpec(), PartitionSpec("data")
    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(whole, rows, whole),
        out_specs=whole,
        check_vma=False,
    )


def test_a_sharded_training_step_compiles_with_the_kernel():
    mesh = Mesh(np.array(deviceless.devices("v5e:2x4")), ("data",))
    process = diffusion.GaussianProcess(diffusion.SqrtSchedule(), 0.25)
    objective = objectives.Objective(
        model=MODEL,
        process=process,
        times=diffusion.StratifiedTimes(),
        loss=diffusion.TokenLoss(),
        context_dropout=0.0,
        self_conditioning=0.5,
        has_code_rows=False,
    )
    optimizer = optimizers.OPTIMIZERS["adamw"]().build(100)

    def shapes(tree, spec):
        place = NamedSharding(mesh, spec)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree
        )

    tokens = jax.ShapeDtypeStruct((ROWS, LENGTH), jnp.int32)
    mask = jax.ShapeDtypeStruct((ROWS, LENGTH), jnp.bool_)
    batch = Batch(tokens, mask, tokens, mask, jax.ShapeDtypeStruct((ROWS,), jnp.bool_))
    params = jax.eval_shape(MODEL.init, jax.random.key(0), tokens, mask, tokens)[
        "params"
    ]
    state = jax.eval_shape(
        functools.partial(step.init_state, optimizer=optimizer), params
    )
    train_step = step.make_train_step(
        over_devices(objective, mesh), optimizer, ema_decay=0.999
    )
    compiled = train_step.lower(
        shapes(state, PartitionSpec()),
        shapes(batch, PartitionSpec("data")),
        shapes(jax.eval_shape(jax.random.key, 0), PartitionSpec()),
    ).compile()
    text = compiled.as_text()
    for name in ("attention_short_forward", "attention_short_backward", "all-reduce"):
        assert name in text
