"""Requests to Python, CoNaLa as the authors released it.

    codefusion train --config=configs/conala.py --workdir=runs/conala
    codefusion evaluate --workdir=runs/conala

The random split, trained beside requests to Python from three other sources and sized
for two CPU cores. The forms `configs/conala.py:FORM` are `released` (the authors'
split), `at_once` (all tokens at once), `large` (for one GPU), and `autoregressive`,
`diffusion_lm` and `genie`, systems to compare with, see `codefusion/comparisons.py`.
What was run and measured is in `results/`, see its tables.
"""

from codefusion import comparisons, config

FORMS = ("small", "released", "large", "at_once", *comparisons.FORMS)


def get_config(form="small"):
    """Returns the config of one of `FORMS`."""
    config.check_form(form, FORMS)
    c = config.base()
    scheme = "released" if form == "released" else "random"
    c.data = dict(name="conala", scheme=scheme, source_length=40, target_length=32)
    c.tokenizer.vocab_size = 4096
    c.model.update(width=128, num_heads=8, mlp_width=512)
    c.diffusion.embedding_scale = 0.5  # see docs/recipe.md on what noise hides
    # Read only where a form or the command line asks for steps of pre-training.
    c.pretraining.corpora = ("python_corpus",)
    c.training.num_steps = 3_000
    c.training.mixture = (("python_docs", 0.5),)
    c.inference.batch_size = 8
    c.evaluation.metrics = (
        "chrf",
        "edit_similarity",
        "code_bleu_style",
        "exact_match",
        "codebert_score",
        "validity",
    )
    if form == "at_once":
        c.inference.update(token_temperature=0.0, num_repairs=500)
    else:
        config.write_by_plan(c)
        # Plans differ by themselves; cool tokens are right more often.
        c.inference.token_temperature = 0.6
    if form == "large":
        _enlarge(c)
    if form in comparisons.FORMS:
        comparisons.FORMS[form](c)
    if form == "autoregressive":
        c.inference.token_temperature = 1.0  # cool, its candidates are few and worse
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
