"""Requests to Excel conditional-formatting rules, the authors' benchmark.

    codefusion train --config=configs/cf_rules.py --workdir=runs/cf_rules
    codefusion evaluate --workdir=runs/cf_rules

Pre-training on the authors' rules and on generated pairs, then fine-tuning with
generated pairs mixed in. The random split; `configs/cf_rules.py:released` is the
authors'. Sized for two CPU cores; `configs/cf_rules.py:large` is for one GPU.
Scores and times: not measured yet.
"""

from codefusion import config


def get_config(form="small"):
    """Returns the config; form is "small", "released" or "large"."""
    c = config.base()
    scheme = "released" if form == "released" else "random"
    c.data = dict(name="cf_rules", scheme=scheme, source_length=64, target_length=32)
    c.tokenizer.vocab_size = 1024
    c.tokenizer.max_training_sentences = 30_000
    c.model.head.name = "span_copy"
    c.pretraining.num_steps = 1_500
    c.pretraining.corpora = ("cf_corpus",)
    c.pretraining.mixture = (("generated", 0.8),)
    c.pretraining.optimizer.learning_rate = 2e-3
    c.training.num_steps = 800
    c.training.mixture = (("generated", 0.5),)
    c.inference.batch_size = 8
    c.evaluation.metrics = (
        "execution_match",
        "exact_match",
        "edit_similarity",
        "validity",
    )
    if form == "large":
        _enlarge(c)
    return c


def _enlarge(c):
    c.model.update(width=512, num_heads=8, head_width=64, mlp_width=2048)
    c.model.update(encoder_layers=6, denoiser_layers=10, decoder_layers=6)
    c.model.update(dtype="bfloat16", scan_layers=True)
    c.pretraining.num_steps = 20_000
    c.pretraining.batch_size = 256
    c.pretraining.optimizer.learning_rate = 5e-4
    c.training.num_steps = 5_000
    c.training.batch_size = 256
    c.training.optimizer.learning_rate = 2e-4
    c.inference.batch_size = 64
