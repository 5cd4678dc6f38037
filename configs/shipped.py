"""Requests to Bash, Python and rules: the model that is in the package.

    codefusion train --config=configs/shipped.py --workdir=runs/shipped
    codefusion evaluate --workdir=runs/shipped --dataset=conala

One model for three languages, told apart by a tag before the request. It is trained
only on what may be passed on with attribution: no row and no snippet of the authors'
files, whose license is not stated. Sized so that its weights have less than 12 MB.
"""

from codefusion import config


def get_config():
    """Returns the config."""
    c = config.base()
    c.data = dict(name="nl2bash", scheme="random", source_length=48, target_length=32)
    c.source.language_tag = True
    c.tokenizer.update(vocab_size=3584, max_training_sentences=120_000)
    c.model.update(width=128, num_heads=8, mlp_width=512)
    config.write_by_plan(c)
    c.training.num_steps = 5_000
    c.training.mixture = (("generated", 0.15), ("conala", 0.15), ("python_docs", 0.25))
    c.training.checkpoint_every = 1_000
    c.evaluation.update(max_rows=300, metrics=())
    return c
