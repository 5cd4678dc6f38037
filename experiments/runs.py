"""A config per run of `docs/recipe.md`: the quickstart, less or other than one piece.

    python -m codefusion train --config=experiments/runs.py:adamw --workdir=runs/x

`python -m experiments.recipe` trains and scores all of them.
"""

from codefusion import config
from configs import quickstart

_ADAMW = dict(
    name="adamw",
    learning_rate=2e-3,
    schedule="cosine",
    warmup_steps=40,
    final_fraction=0.05,
    weight_decay=0.01,
    b1=0.9,
    b2=0.98,
    clip_norm=1.0,
)

# Dotted keys and their values; a dict replaces the whole section.
RUNS = {
    "quickstart": {},
    "plain_attention": {"model.alignment_rounds": 0},
    "one_round": {"model.alignment_rounds": 1},
    "three_rounds": {"model.alignment_rounds": 3},
    "no_source_positions": {"model.source_positions": False},
    "own_embedding": {"model.share_embedding": False},
    "adamw": {"training.optimizer": _ADAMW},
    "batch_48": {"training.batch_size": 48, "training.num_steps": 725},
    "long": {"training.num_steps": 2_400},
    "unigram": {"tokenizer.model_type": "unigram"},
    "spaces": {
        "tokenizer.word_starts": False,
        "tokenizer.separate_spaces": True,
        "tokenizer.model_type": "unigram",
        "data.source_length": 56,
        "data.target_length": 28,
    },
    "token_head": {"model.head": {"name": "token"}},
    "uniform_times": {"diffusion.times.power": 1.0},
    "no_self_conditioning": {
        "model.self_conditioning": False,
        "training.self_conditioning": 0.0,
    },
    "guidance": {"training.context_dropout": 0.1, "inference.guidance": 1.5},
    "narrow": {"model.embedding_width": 16, "diffusion.embedding_scale": 0.5},
    "wide": {"model.embedding_width": 96, "diffusion.embedding_scale": 0.15},
    "unit_scale": {"diffusion.embedding_scale": 1.0},
    "heavy_regression": {"diffusion.loss": {"name": "tokens", "x0_weight": 5.0}},
}


def get_config(run="quickstart"):
    """Returns the config of a run, a key of `RUNS`."""
    if run not in RUNS:
        raise ValueError(f"{run!r} is no run; expected one of {sorted(RUNS)}.")
    c = quickstart.get_config()
    for key, value in RUNS[run].items():
        config.put(c, key, value)
    return config.validate(c)
