"""A small run with noise in its loss, two stages and an average."""

import hashlib
import io
import time

import jax
import jax.numpy as jnp
import numpy as np

from codefusion import trees
from codefusion.checkpoints import Checkpoints
from codefusion.training import loop
from codefusion.training.optimizers import AdamW
from codefusion.training.step import init_state


class ToyBatches:
    """Batches that are a pure function of (seed, index), some of them poisoned."""

    def __init__(self, seed, *, poison=None, pause=0.0):
        self.seed, self.poison, self.pause = seed, poison or {}, pause
        self.content_hash = f"toy {seed}"
        self.batch_size, self.rows = 8, None
        self.read = []  # every index that was asked of `iterate`

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, index))
        inputs = rng.normal(size=(8, 4)).astype(np.float32)
        outputs = inputs @ np.ones((4, 2), np.float32)
        outputs[0, 0] = self.poison.get(index, outputs[0, 0])
        return {"inputs": inputs, "outputs": outputs}

    def examples(self, index):
        return [(0, 8 * index + row) for row in range(8)]

    def iterate(self, start):
        index = start
        while True:
            self.read.append(index)
            time.sleep(self.pause)
            yield self[index]
            index += 1


def loss(params, batch, key):
    """A fit whose inputs are dropped at random, which half of the time sees itself."""
    drop_key, self_key = jax.random.split(key)
    kept = jax.random.bernoulli(drop_key, 0.8, batch["inputs"].shape)
    inputs = jnp.where(kept, batch["inputs"], 0.0)
    outputs = inputs @ params["kernel"] + params["bias"]
    again = outputs + 0.1 * jnp.tanh(jax.lax.stop_gradient(outputs))
    outputs = jnp.where(jax.random.bernoulli(self_key), again, outputs)
    error = jnp.mean(jnp.square(outputs - batch["outputs"]))
    size = jnp.sum(jnp.square(params["kernel"]))
    return error + 1e-3 * size, {"error": error, "size": size}


def init_params(width=2):
    kernel = jax.random.normal(jax.random.key(1), (4, width))
    return {"kernel": kernel, "bias": jnp.zeros((1, width))}


def stages(*, lengths=(12, 18), poison=None, pause=0.0):
    """Returns two stages; `poison` maps a batch of the second to a bad value."""
    names = ("pretraining", "training")
    return [
        loop.Stage(
            name=name,
            loss_fn=loss,
            optimizer=AdamW(learning_rate=0.02, warmup_steps=3).build(num_steps),
            batches=ToyBatches(k, poison=poison if k else None, pause=pause),
            num_steps=num_steps,
            ema_decay=0.9,
        )
        for k, (name, num_steps) in enumerate(zip(names, lengths, strict=True))
    ]


def train(workdir, *, seed=0, every=5, keep=2, minutes=0.0, run_stages=None, **options):
    """Returns the final state of the toy run in `workdir`."""
    checkpoints = Checkpoints(
        workdir, max_to_keep=keep, every_steps=every, every_minutes=minutes
    )
    checkpoints.prepare()
    return loop.train(
        stages() if run_stages is None else run_stages,
        init_params,
        workdir=workdir,
        seed=seed,
        checkpoints=checkpoints,
        log_every=4,
        **{"stream": io.StringIO(), **options},
    )


def restored(workdir, step):
    """Returns the state on disk, in the structure of the toy run's."""
    optimizer = stages()[0].optimizer
    like = jax.eval_shape(lambda p: init_state(p, optimizer), init_params())
    return Checkpoints(workdir).restore(step, like)


def fingerprint(tree):
    """Returns the SHA-256 of a tree's paths, shapes, types and bytes."""
    digest = hashlib.sha256()
    for path, leaf in trees.named_leaves(tree).items():
        leaf = np.asarray(leaf)
        digest.update(f"{path}{leaf.shape}{leaf.dtype}".encode())
        digest.update(leaf.tobytes())
    return digest.hexdigest()
