"""Whether a checkpoint belongs to the run that wants to go on from it."""

import hashlib
import json
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from codefusion import config as configs
from codefusion.checkpoints import CheckpointError

# Keys of the config that may change between a run and its resumption, because no
# parameter depends on them (on the mesh, no more than by the order of sums). An entry
# stands for itself and all below it.
FREE_KEYS = (
    "evaluation",
    "inference",
    "sampler",
    "sharding",
    "training.checkpoint_every",
    "training.checkpoint_minutes",
    "training.compile_budget",
    "training.eval_every",
    "training.log_every",
    "training.max_to_keep",
    "training.on_non_finite",
    "training.watchdog_minutes",
)


def identify(stages, *, seed, config=None, tokenizer_hash=None) -> dict[str, str]:
    """Returns what the parameters of a run depend on, as `{key: JSON text}`.

    Args:
      stages: the run's stages, in order.
      seed: the run's seed.
      config: the resolved config as nested dicts; its `FREE_KEYS` are left out.
      tokenizer_hash: content hash of the tokenizer.

    Returns:
      A flat dict; two runs with equal dicts train the same parameters.
    """
    identity = {key: text for key, text in _flat(config or {}) if not _is_free(key)}
    identity |= {"seed": json.dumps(seed), "tokenizer hash": json.dumps(tokenizer_hash)}
    for stage in stages:
        identity[f"{stage.name} data hash"] = json.dumps(stage.batches.content_hash)
        identity[f"{stage.name}.num_steps"] = json.dumps(stage.num_steps)
    return identity


def differences(saved: dict[str, str], now: dict[str, str]) -> list[str]:
    """Returns a line `key: saved -> now` for each key in which identities differ.

    A setting of the config that came after the saved run had its default there.
    """
    both, absent = sorted(saved.keys() | now.keys()), "(absent)"
    before = dict(_flat(configs.base().to_dict())) | saved
    pairs = ((key, before.get(key, absent), now.get(key, absent)) for key in both)
    return [f"{key}: {a} -> {b}" for key, a, b in pairs if a != b]


def check_same_on_all_hosts(identity: dict[str, str]):
    """Raises ValueError where another host would train other parameters.

    Args:
      identity: of this host, from `identify`; all hosts come here.
    """
    if jax.process_count() == 1:
        return
    text = json.dumps(identity, sort_keys=True)
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.int32)
    found = multihost_utils.process_allgather(digest)
    others = np.flatnonzero((found != found[:1]).any(axis=1))
    if len(others):
        raise ValueError(
            f"hosts {', '.join(map(str, others))} have other data, tokenizer or config "
            "than host 0; expected the same files and packages on all hosts."
        )


def check_same_run(saved: dict[str, str], now: dict[str, str], *, workdir):
    """Raises if a checkpoint belongs to another run, and shows the difference.

    Args:
      saved: the identity in the checkpoint.
      now: the identity of this run.
      workdir: the work directory, named in the error.
    """
    lines = differences(saved, now)
    if lines:
        raise CheckpointError(
            f"The work directory {workdir} holds another run (saved -> now): "
            f"{'; '.join(lines)}. Set another --workdir, or the saved values to "
            f"resume; only these may change: {', '.join(FREE_KEYS)}."
        )


def _is_free(key) -> bool:
    return any(key == free or key.startswith(free + ".") for free in FREE_KEYS)


def _flat(tree, prefix="") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, sort_keys=True)
