"""Requests to programs of your own: a JSONL file of pairs, in any language.

    codefusion train --config=configs/custom.py --config.data.train=pairs.jsonl \
        --workdir=runs/mine
    codefusion evaluate --workdir=runs/mine

A line of the file is {"utterance": "go north twice", "code": "move(N, 2)"}. A tenth of
the rows is for validation and a tenth for the test. Sized for some hundreds of pairs
and one CPU core; `data.language` is python, bash or cf where validity is to be scored.
"""

from codefusion import config


def get_config():
    """Returns the config."""
    c = config.base()
    c.data = dict(
        name="custom", train="", language="text", source_length=48, target_length=48
    )
    c.tokenizer.vocab_size = 512
    config.write_by_plan(c)
    c.training.num_steps = 450
    c.training.batch_size = 16
    c.inference.batch_size = 8
    c.evaluation.metrics = ("exact_match", "edit_similarity", "validity")
    return c
