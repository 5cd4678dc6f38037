"""What a model makes of each noise level: the cross-entropy against diffusion time.

Where the figures hardly change from t = 1 to t near 0, noised embeddings tell nothing
that the request does not, and a sample is one guess however many steps it takes.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from codefusion import assemble, consistency, diffusion
from codefusion.data import pipeline
from codefusion.evaluation import predict

TIMES = (1.0, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1)
SPLITS = ("train", "test")
_NOISE_STREAM = 2**31 - 1


def measure_all(model, count, *, progress=None):
    """Returns the figures at `TIMES` of both splits, as JSON: a level a time.

    Args:
      model: an `inference.Generator` of a diffusion model.
      count: most rows of a split.
      progress: called with the number of times done; None for silence.
    """
    if model.is_autoregressive:
        raise ValueError(
            "This model writes from left to right and has no noise levels; expected "
            "a diffusion model's work directory."
        )
    batches = {split: rows(model, split, count) for split in SPLITS}
    levels = []
    for t in TIMES:
        level = {"t": t}
        for split, batch in batches.items():
            loss, right = measure(model, batch, t)
            level[split] = {"cross_entropy": loss, "right": right}
        levels.append(level)
        if progress:
            progress(len(levels))
    return {"step": int(model.step), "rows": count, "levels": levels}


def measure_written(model, count):
    """Returns the figures of an autoregressive model as `measure_all` does, t None.

    Each token is given those of the reference before it.

    Args:
      model: an `inference.Generator` of an autoregressive model.
      count: most rows of a split.
    """
    level = {"t": None}
    for split in SPLITS:
        batch = rows(model, split, count)
        loss, right = _measure_written(model.parts.model, model.params, batch)
        level[split] = {"cross_entropy": float(loss), "right": float(right)}
    return {"step": int(model.step), "rows": count, "levels": [level]}


def rows(model, split, count):
    """Returns a `Batch` of evenly spaced rows of a split that fit its lengths.

    They are of `evaluation.dataset`, where the config has one.

    Args:
      model: an `inference.Generator`.
      split: its name.
      count: most rows.
    """
    config = model.config
    source = assemble.evaluated(config)
    chosen = [
        dataclasses.replace(
            row, utterance=assemble.request(config, row.utterance, source.language)
        )
        for row in predict.choose_rows(source.examples(split), count)
    ]
    lengths = dict(
        source_length=config.data.source_length,
        target_length=config.data.target_length,
    )
    pairs = pipeline.encode_pairs(
        chosen, model.tokenizer, **lengths, retrieval=model.retrieval
    )
    lengths["source_length"] = consistency.source_length(config)
    fitting = pipeline.PairRows(pairs, **lengths)
    if not len(fitting):
        raise ValueError(
            f"no row of the split {split!r} fits data.source_length and "
            "data.target_length; expected another split or more rows."
        )
    return fitting.batch(np.arange(len(fitting)), np.zeros((len(fitting), 1)))


def legible(process, table, times):
    """Returns the share of tokens that noise leaves legible, float32[times].

    A token is legible where, of all embeddings, its own is nearest to the noised one.

    Args:
      process: a `GaussianProcess`.
      table: token embeddings, float32[V, E]; they are brought to unit RMS.
      times: diffusion times, float32[times].
    """
    tokens = jnp.arange(len(table))
    found = [(_nearest(process, table, tokens, t) == tokens).mean() for t in times]
    return np.array(found, np.float32)


def readings(model, code, times, *, process=None):
    """Returns what nearest embeddings say of a program at noise levels, list of str.

    Args:
      model: an `inference.Generator` of a diffusion model.
      code: the program, str.
      times: diffusion times, a sequence of float.
      process: the `GaussianProcess` that adds the noise; None for the model's.
    """
    process = process or model.parts.process
    tokens = jnp.array(model.tokenizer.encode(code))
    found = [_nearest(process, embeddings(model), tokens, t) for t in times]
    return [model.tokenizer.decode(row.tolist()) for row in found]


def embeddings(model):
    """Returns the token embeddings of a model at unit RMS, float32[V, E].

    Args:
      model: an `inference.Generator` of a diffusion model.
    """
    every = jnp.arange(model.tokenizer.vocab_size)[None]
    return model.parts.model.apply({"params": model.params}, every, method="embed")[0]


@functools.partial(jax.jit, static_argnums=0)
def _nearest(process, table, tokens, t):
    """Returns the tokens whose embeddings are nearest to noised ones, int32[T]."""
    table = table / jnp.sqrt(jnp.square(table).mean(axis=-1, keepdims=True))
    x0, times = table[tokens][None], jnp.full(1, t)
    # Not a key that a caller may have drawn the table from: it would be the noise.
    key = jax.random.fold_in(jax.random.key(0), _NOISE_STREAM)
    noise = jax.random.normal(key, x0.shape)
    xt = process.add_noise(x0, times, noise=noise)
    estimate = process.x0_from_noise(xt, jnp.zeros_like(xt), times)
    return diffusion.nearest_log_probs(estimate, table)[0].argmax(axis=-1)


def measure(model, batch, t):
    """Returns (nats a token, share of tokens right) where noise of time t was added.

    Args:
      model: an `inference.Generator`.
      batch: a `Batch`.
      t: a time in [0, 1].
    """
    parts = model.parts
    found = _measure(parts.model, parts.process, model.params, batch, jnp.float32(t))
    return tuple(map(float, found))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _measure(model, process, params, batch, t):
    """Returns what `measure` does; the denoiser reads its own first estimate."""
    call = functools.partial(model.apply, {"params": params})
    context = call(batch.source, batch.source_mask, method="encode")
    x0 = call(batch.target, method="embed")
    times = jnp.full(len(x0), t)
    noise = jax.random.normal(jax.random.key(0), x0.shape)
    xt = process.add_noise(x0, times, noise=noise)
    inputs, estimate = process.network_input(xt, times), jnp.zeros_like(xt)
    for _ in range(2 if model.self_conditioning else 1):
        estimate = call(inputs, times, estimate, context, method="denoise")
    _, log_probs = call(estimate, context, batch.target, method="decode")
    return _scored(log_probs, batch)


@functools.partial(jax.jit, static_argnums=0)
def _measure_written(model, params, batch):
    call = functools.partial(model.apply, {"params": params})
    context = call(batch.source, batch.source_mask, method="encode")
    return _scored(call(batch.target, context, method="write")[1], batch)


def _scored(log_probs, batch):
    """Returns (nats a token, share right) of a batch's targets, two float32[]."""
    picked = jnp.take_along_axis(log_probs, batch.target[..., None], axis=-1)[..., 0]
    right = jnp.argmax(log_probs, axis=-1) == batch.target
    weight = batch.target_mask / batch.target_mask.sum()
    return -(picked * weight).sum(), (right * weight).sum()
