"""Requests to Python, CoNaLa as the authors released it.

    codefusion train --config=configs/conala.py --workdir=runs/conala
    codefusion evaluate --workdir=runs/conala

Pre-training on Python snippets from four sources, then fine-tuning. The random split;
`configs/conala.py:released` is the authors'. Sized for two CPU cores;
`configs/conala.py:large` is for one GPU and was not run yet, nor was `:released`.
`:autoregressive`, `:diffusion_lm` and `:genie` are systems to compare with, see
`codefusion/comparisons.py`.

Measured, random split, seed 0, on one x86-64 core with AVX-512 beside other work: 43
min 13 s of CPU time for training; chrF 28.5 [26.4, 30.6], edit similarity 33.8 % [32.0,
35.6] and 88.2 % valid [84.7, 91.3], top-1 of 287 rows (`results/`). The programs of the
nearest training requests have chrF 32.1 [29.3, 35.0] (`experiments/nearest.py`).
"""

from codefusion import comparisons, config

FORMS = ("small", "released", "large", *comparisons.FORMS)


def get_config(form="small"):
    """Returns the config of one of `FORMS`."""
    config.check_form(form, FORMS)
    c = config.base()
    scheme = "released" if form == "released" else "random"
    c.data = dict(name="conala", scheme=scheme, source_length=40, target_length=32)
    c.tokenizer.vocab_size = 4096
    c.model.update(width=128, num_heads=8, mlp_width=512)
    c.diffusion.embedding_scale = 0.5  # see docs/recipe.md on what noise hides
    c.pretraining.num_steps = 2_500
    c.pretraining.corpora = ("python_corpus",)
    c.training.num_steps = 2_800
    c.training.context_dropout = 0.1
    c.inference.batch_size = 8
    c.inference.token_temperature = 0.0
    c.inference.num_repairs = 500  # few draws parse as they are
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
    if form in comparisons.FORMS:
        comparisons.FORMS[form](c)
    return c


def _enlarge(c):
    config.enlarge(c)
    c.diffusion.embedding_scale = 0.5
    c.data.update(source_length=64, target_length=64)
    c.pretraining.num_steps = 10_000
    c.pretraining.batch_size = 512
    c.training.num_steps = 3_000
    c.training.batch_size = 256
    c.inference.batch_size = 64
