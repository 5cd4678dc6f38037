"""What a model makes of each noise level: the cross-entropy against diffusion time.

Where the figures hardly change from t = 1 to t near 0, noised embeddings tell nothing
that the request does not, and a sample is one guess however many steps it takes.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from codefusion import assemble, consistency
from codefusion.data import pipeline
from codefusion.evaluation import predict

TIMES = (1.0, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1)
SPLITS = ("train", "test")


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


def rows(model, split, count):
    """Returns a `Batch` of evenly spaced rows of a split that fit its lengths.

    Args:
      model: an `inference.Generator`.
      split: its name.
      count: most rows.
    """
    config = model.config
    examples = assemble.dataset(config).examples(split)
    chosen = [
        dataclasses.replace(row, utterance=assemble.request(config, row.utterance))
        for row in predict.choose_rows(examples, count)
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
    picked = jnp.take_along_axis(log_probs, batch.target[..., None], axis=-1)[..., 0]
    right = jnp.argmax(log_probs, axis=-1) == batch.target
    weight = batch.target_mask / batch.target_mask.sum()
    return -(picked * weight).sum(), (right * weight).sum()
