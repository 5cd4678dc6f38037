"""A denoising and a training step against the bare matmuls of the same network.

    python -m benchmarks.floor --steps denoise-1 denoise-8 train-8

The floor multiplies what the product multiplies, forward and for training backward,
and does nothing else: no norms, softmax, activations, residuals, optimizer or layout
changes. The two run in turn in one process on one core; the cost is CPU time.
"""

import os

if __name__ == "__main__":  # One thread: to be said before jax starts.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false"
    os.environ["JAX_PLATFORMS"] = "cpu"

import argparse
import json
import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from codefusion import diffusion, models, types
from codefusion.commands import allocator
from codefusion.models import denoiser
from codefusion.training import objectives, optimizers, step

TIME_WIDTH = denoiser.TIME_WIDTH
TOY = dict(length=16, width=32, num_heads=2, head_width=16, mlp_width=64)
TOY |= dict(encoder_layers=1, denoiser_layers=2, decoder_layers=1, vocab_size=64)


class Shape(NamedTuple):
    """Sizes of a network and its batch; the defaults are the paper's."""

    batch: int
    length: int = 128
    width: int = 512
    num_heads: int = 8
    head_width: int = 64
    mlp_width: int = 2048
    encoder_layers: int = 6
    denoiser_layers: int = 10
    decoder_layers: int = 6
    vocab_size: int = 32_100

    @property
    def inner(self):
        """Width of all heads together."""
        return self.num_heads * self.head_width


def constant(rows, columns, total):
    """Returns a matrix of equal elements that multiplies ones to `total` each."""
    return jnp.full((rows, columns), total / rows, jnp.float32)


def attention_weights(shape):
    """Returns (query, key, value, out), sized for all activations to stay 1."""
    d, inner = shape.width, shape.inner
    return (
        constant(d, inner, 1 / shape.head_width),
        constant(d, inner, 1.0),
        constant(d, inner, 1 / shape.length),
        constant(inner, d, 1.0),
    )


def mlp_weights(shape):
    """Returns the two matrices of a feed-forward layer."""
    d, mlp = shape.width, shape.mlp_width
    return constant(d, mlp, 1.0), constant(mlp, d, 1.0)


def block_weights(shape):
    """Returns (self-attention, cross query, cross out, mlp) of one block."""
    # The context's keys and values are 1 / length alike: see `key_values`.
    query = constant(shape.width, shape.inner, shape.length / shape.head_width)
    out = constant(shape.inner, shape.width, 1.0)
    return attention_weights(shape), query, out, mlp_weights(shape)


def denoiser_weights(shape):
    """Returns ((time in, time out), in, blocks, out)."""
    d = shape.width
    times = constant(TIME_WIDTH, d, 1.0), constant(d, d, 1.0)
    blocks = [block_weights(shape) for _ in range(shape.denoiser_layers)]
    return times, constant(d, d, 1.0), blocks, constant(d, d, 1.0)


def network_weights(shape):
    """Returns every matrix of the network, by part."""

    def context(num_layers):
        columns = 2 * num_layers * shape.inner
        return constant(shape.width, columns, 1 / shape.length)

    encoder = [(attention_weights(shape), mlp_weights(shape))] * shape.encoder_layers
    weights = dict(
        encoder=encoder,
        denoiser_context=context(shape.denoiser_layers),
        decoder_context=context(shape.decoder_layers),
        denoiser=denoiser_weights(shape),
        decoder_in=constant(shape.width, shape.width, 1.0),
        decoder=[block_weights(shape) for _ in range(shape.decoder_layers)],
        head=constant(shape.width, shape.vocab_size, 1.0),
        to_embedding=constant(shape.width, shape.width, 1.0),
    )
    return jax.tree.map(jnp.array, weights)


def attention(query, key, value, shape):
    """Returns (query key^T) value as batched matmuls, [B T, N H].

    Rows are taken for heads as they lie in memory: the shapes and the arithmetic of
    attention without its transpositions.
    """
    groups = shape.batch * shape.num_heads
    query = query.reshape(groups, shape.length, shape.head_width)
    key = key.reshape(groups, shape.head_width, shape.length)
    value = value.reshape(groups, shape.length, shape.head_width)
    return (query @ key @ value).reshape(-1, shape.inner)


def run_blocks(blocks, x, key_values, shape):
    """Returns the output of denoiser or decoder blocks, [B L, D]."""
    for (q, k, v, out), cross_query, cross_out, (mlp_in, mlp_out) in blocks:
        x = attention(x @ q, x @ k, x @ v, shape) @ out
        key, value, *key_values = key_values
        x = attention(x @ cross_query, key, value, shape) @ cross_out
        x = x @ mlp_in @ mlp_out
    return x


def floor_denoise(weights, xt, features, key_values, shape):
    """Returns the matmuls of a denoising step: (x0_hat [B L, D], time [B, D])."""
    (time_in, time_out), project, blocks, out = weights
    x = run_blocks(blocks, xt @ project, key_values, shape) @ out
    return x, features @ time_in @ time_out


def floor_forward(weights, source, target, features, shape):
    """Returns the matmuls of a training step's forward pass: logits, decoded, time."""
    x = source
    for (q, k, v, out), (mlp_in, mlp_out) in weights["encoder"]:
        x = attention(x @ q, x @ k, x @ v, shape) @ out
        x = x @ mlp_in @ mlp_out

    def key_values(weight, num_layers):
        # Cut by rows, which copies nothing, where the product cuts by columns.
        return (x @ weight).reshape(2 * num_layers, -1, shape.inner)

    context = key_values(weights["denoiser_context"], shape.denoiser_layers)
    x0_hat, time_ = floor_denoise(weights["denoiser"], target, features, context, shape)
    context = key_values(weights["decoder_context"], shape.decoder_layers)
    hidden = run_blocks(
        weights["decoder"], x0_hat @ weights["decoder_in"], context, shape
    )
    return hidden @ weights["head"], hidden @ weights["to_embedding"], time_


def ones(*shape):
    """Returns ones, float32."""
    return jnp.ones(shape, jnp.float32)


def make_floor_denoise(shape):
    """Returns a call that runs one floor step and returns its output."""
    rows = shape.batch * shape.length
    layers = range(2 * shape.denoiser_layers)
    key_values = [ones(rows, shape.inner) / shape.length for _ in layers]
    args = denoiser_weights(shape), ones(rows, shape.width)
    args = *args, ones(shape.batch, TIME_WIDTH), key_values
    run = jax.jit(lambda *args: floor_denoise(*args, shape))
    return lambda: run(*args)


def floor_gradient(weights, source, target, features, cotangent, shape):
    """Returns the gradients of the floor's forward pass by its two first inputs."""

    def forward(weights, source, target):
        return floor_forward(weights, source, target, features, shape)

    return jax.vjp(forward, weights, source, target)[1](cotangent)


def floor_train_arguments(shape):
    """Returns the arguments of `floor_gradient`, its shape left out."""
    rows, d = shape.batch * shape.length, shape.width
    cotangent = ones(rows, shape.vocab_size), ones(rows, d), ones(shape.batch, d)
    cotangent = jax.tree.map(lambda x: x / x.size, cotangent)
    x = ones(rows, d)
    return network_weights(shape), x, x, ones(shape.batch, TIME_WIDTH), cotangent


def make_floor_train(shape):
    """Returns a call that runs forward and backward and returns the gradients."""
    args = floor_train_arguments(shape)
    run = jax.jit(lambda *args: floor_gradient(*args, shape))
    return lambda: run(*args)


def product_model(shape):
    """Returns the product's network of the shape, as the paper has it."""
    sizes = shape._asdict()
    length = sizes.pop("length")
    del sizes["batch"]
    return models.CodeFusion(
        **sizes,
        embedding_width=shape.width,
        attention="xla",  # one program to count, and not one a platform
        max_source_length=length,
        max_target_length=length,
        head=models.HEADS["token"],
        self_conditioning=False,
        share_embedding=False,
        source_positions=False,
        alignment_rounds=0,
    )


def product_batch(shape):
    """Returns random tokens, the last quarter of every row padding."""
    rng = np.random.default_rng(0)
    size = shape.batch, shape.length
    source, target = rng.integers(5, shape.vocab_size, (2, *size), dtype=np.int32)
    mask = np.broadcast_to(np.arange(size[1]) < 3 * size[1] // 4, size)
    return types.Batch(source, mask, target, mask, np.zeros(size[0], bool))


def product_params(model, batch):
    """Returns freshly drawn parameters."""
    init = jax.jit(model.init)
    return init(jax.random.key(0), batch.source, batch.source_mask, batch.target)[
        "params"
    ]


def make_product_denoise(shape):
    """Returns a call that runs the product's denoising step."""
    model, batch = product_model(shape), product_batch(shape)
    params = {"params": product_params(model, batch)}
    encode = jax.jit(lambda p, *args: model.apply(p, *args, method="encode"))
    context = encode(params, batch.source, batch.source_mask)
    xt = jax.random.normal(jax.random.key(1), (*batch.target.shape, shape.width))
    t = jnp.full(shape.batch, 0.5)
    run = jax.jit(lambda p, *args: model.apply(p, *args, method="denoise"))
    return lambda: run(params, xt, t, jnp.zeros_like(xt), context)


def product_objective(model):
    """Returns the training loss with nothing drawn but times and noise."""
    process = diffusion.GaussianProcess(diffusion.SqrtSchedule())
    return objectives.Objective(
        model=model,
        process=process,
        times=diffusion.UniformTimes(),
        loss=diffusion.PaperLoss(),
        context_dropout=0.0,
        self_conditioning=0.0,
        has_code_rows=False,
    )


def make_product_train(shape):
    """Returns a call that runs a whole training step, AdamW and average included."""
    model, batch = product_model(shape), product_batch(shape)
    optimizer = optimizers.AdamW().build(1000)
    run = step.make_train_step(product_objective(model), optimizer, ema_decay=0.999)
    states = [step.init_state(product_params(model, batch), optimizer)]

    def call():
        state, metrics = run(states.pop(), batch, jax.random.key(0))
        states.append(state)
        return metrics

    return call


MAKERS = {
    "denoise": (make_product_denoise, make_floor_denoise),
    "train": (make_product_train, make_floor_train),
}


def cpu_seconds(call, calls):
    """Returns the CPU time of one call, a mean over `calls`."""
    start = time.process_time()
    for _ in range(calls):
        jax.block_until_ready(call())
    return (time.process_time() - start) / calls


def compare(product, floor, *, rounds, calls):
    """Returns medians and the ratio's median and range over interleaved rounds.

    Args:
      product, floor: what to time; called once beforehand to compile.
      rounds: times that product and floor follow one another.
      calls: calls in a row within a round.
    """
    jax.block_until_ready((product(), floor()))
    pairs = [
        (cpu_seconds(product, calls), cpu_seconds(floor, calls)) for _ in range(rounds)
    ]
    ratios = [a / b for a, b in pairs]
    return dict(
        product=statistics.median(a for a, _ in pairs),
        floor=statistics.median(b for _, b in pairs),
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        rounds=rounds,
        calls=calls,
    )


def measure(name, *, toy, rounds):
    """Returns the comparison of a step named as "denoise-8": what, and the batch."""
    kind, batch = name.split("-")
    shape = Shape(int(batch), **(TOY if toy else {}))
    product, floor = (make(shape) for make in MAKERS[kind])
    calls = max(1, 8 // shape.batch) if kind == "denoise" else 1
    return dict(step=name, **compare(product, floor, rounds=rounds, calls=calls))


def main():
    """Prints a JSON line for each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", nargs="+", default=["denoise-1", "denoise-8", "train-8"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--toy", action="store_true", help="a network of toy size")
    args = parser.parse_args()
    allocator.keep_freed_memory()
    for name in args.steps:
        print(json.dumps(measure(name, toy=args.toy, rounds=args.rounds)), flush=True)


if __name__ == "__main__":
    main()
