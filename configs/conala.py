"""Requests to Python, CoNaLa as the authors released it.

    codefusion train --config=configs/conala.py --workdir=runs/conala
    codefusion evaluate --workdir=runs/conala

Pre-training on Python snippets from four sources, then fine-tuning. The random split;
`configs/conala.py:released` is the authors'. Sized for two CPU cores;
`configs/conala.py:large` is for one GPU and was not run yet, nor was `:released`.

Measured, random split, seed 0, on one x86-64 core with AVX-512 beside other work: 36
min 13 s of CPU time for training; chrF 25.4 [23.4, 27.8], edit similarity 33.1 % [31.2,
35.1] and 39.7 % valid [34.1, 45.3], top-1 of 287 rows (`results/`).
"""

from codefusion import config

FORMS = ("small", "released", "large")


def get_config(form="small"):
    """Returns the config of one of `FORMS`."""
    config.check_form(form, FORMS)
    c = config.base()
    scheme = "released" if form == "released" else "random"
    c.data = dict(name="conala", scheme=scheme, source_length=32, target_length=28)
    c.tokenizer.vocab_size = 4096
    c.model.update(width=128, num_heads=8, mlp_width=512)
    # A narrower embedding at a larger scale: candidates differ more.
    c.model.embedding_width = 16
    c.diffusion.embedding_scale = 0.5
    c.pretraining.num_steps = 2_500
    c.pretraining.corpora = ("python_corpus",)
    c.training.num_steps = 2_500
    c.inference.batch_size = 8
    c.inference.token_temperature = 0.0
    c.inference.num_draws = 60  # one in two requests has a draw that parses
    c.evaluation.metrics = (
        "chrf",
        "edit_similarity",
        "code_bleu_style",
        "exact_match",
        "codebert_score",
        "validity",
    )
    if form == "large":
        _enlarge(c)
    return c


def _enlarge(c):
    config.enlarge(c)
    c.data.update(source_length=64, target_length=64)
    c.pretraining.num_steps = 10_000
    c.pretraining.batch_size = 512
    c.training.num_steps = 3_000
    c.training.batch_size = 256
    c.inference.batch_size = 64
