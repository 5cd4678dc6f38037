"""What the model makes of each noise level: the cross-entropy against time.

    python -m experiments.noise_levels --workdir=runs/nl2bash --rows=256

Where the figures hardly change from t = 1 to t near 0, noised embeddings tell nothing
that the request does not, and a sample is one guess however many steps it takes.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from codefusion import assemble, inference
from codefusion.data import pipeline
from codefusion.evaluation import predict

TIMES = (1.0, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1)


def main():
    """Prints a Markdown table: a time a row, both splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--rows", type=int, default=256)
    options = parser.parse_args()
    model = inference.load(options.workdir)
    splits = ("train", "test")
    batches = [rows(model, split, options.rows) for split in splits]
    print("| t | " + " | ".join(f"{s}: nats a token, right" for s in splits) + " |")
    print("| --- " * (1 + len(splits)) + "|")
    for t in TIMES:
        found = [measure(model, batch, t) for batch in batches]
        cells = [f"{loss:.2f}, {100 * right:.0f} %" for loss, right in found]
        print(f"| {t} | " + " | ".join(cells) + " |", flush=True)


def rows(model, split, count):
    """Returns a `Batch` of evenly spaced rows of a split that fit its lengths."""
    data = model.config.data
    lengths = dict(source_length=data.source_length, target_length=data.target_length)
    examples = assemble.dataset(model.config).examples(split)
    chosen = predict.choose_rows(examples, count)
    fitting = pipeline.PairRows(
        pipeline.encode_pairs(chosen, model.tokenizer, **lengths), **lengths
    )
    return fitting.batch(np.arange(len(fitting)), None)


def measure(model, batch, t):
    """Returns (nats a token, share of tokens right) where noise of time t was added.

    The denoiser is called twice, the second time with its own first estimate.

    Args:
      model: a Generator.
      batch: a `Batch`.
      t: a time in [0, 1].
    """
    parts, params = model.parts, {"params": model.params}

    def call(method, *args):
        return parts.model.apply(params, *args, method=method)

    context = call("encode", batch.source, batch.source_mask)
    x0 = call("embed", batch.target)
    times = jnp.full(len(x0), t)
    noise = jax.random.normal(jax.random.key(0), x0.shape)
    xt = parts.process.add_noise(x0, times, noise=noise)
    inputs, estimate = parts.process.network_input(xt, times), jnp.zeros_like(xt)
    for _ in range(2 if model.config.model.self_conditioning else 1):
        estimate = call("denoise", inputs, times, estimate, context)
    _, log_probs = call("decode", estimate, context)
    picked = jnp.take_along_axis(log_probs, batch.target[..., None], axis=-1)[..., 0]
    right = jnp.argmax(log_probs, axis=-1) == batch.target
    weight = batch.target_mask / batch.target_mask.sum()
    return -float((picked * weight).sum()), float((right * weight).sum())


if __name__ == "__main__":
    main()
