"""A small CodeFusion that learns conditional-formatting rules in minutes on a CPU.

    codefusion train --config=configs/quickstart.py --workdir=runs/quickstart

Generated requests and rules from our own grammar; needs no file and no network.
"""

from codefusion import config


def get_config():
    """Returns the config."""
    c = config.base()
    c.data = dict(
        name="generated",
        source_length=56,
        target_length=28,
        size=60_000,
        held_out_size=500,
    )
    c.tokenizer.max_training_sentences = 20_000
    c.model.dropout = 0.0
    c.training.num_steps = 500
    c.training.optimizer.learning_rate = 2e-3
    c.inference.batch_size = 8
    c.evaluation.max_rows = 100
    return c
