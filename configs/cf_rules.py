"""Requests to Excel conditional-formatting rules, the authors' benchmark.

    codefusion train --config=configs/cf_rules.py --workdir=runs/cf_rules
    codefusion evaluate --workdir=runs/cf_rules

The random split, trained beside generated pairs and sized for two CPU cores. The forms
`configs/cf_rules.py:FORM` are `released` (the authors' split), `at_once` (all tokens at
once), `large` (for one GPU), and `autoregressive`, `diffusion_lm` and `genie`, systems
to compare with, see `codefusion/comparisons.py`. What was run and measured is in
`results/`, see its tables.
"""

from codefusion import comparisons, config

FORMS = ("small", "released", "large", "at_once", *comparisons.FORMS)


def get_config(form="small"):
    """Returns the config of one of `FORMS`."""
    config.check_form(form, FORMS)
    c = config.base()
    scheme = "released" if form == "released" else "random"
    c.data = dict(name="cf_rules", scheme=scheme, source_length=48, target_length=24)
    c.tokenizer.max_training_sentences = 30_000
    # A narrower embedding at a larger scale: candidates differ more.
    c.model.embedding_width = 16
    c.diffusion.embedding_scale = 0.5
    # Read only where a form or the command line asks for steps of pre-training.
    c.pretraining.corpora = ("cf_corpus",)
    c.pretraining.mixture = (("generated", 0.7),)
    c.training.num_steps = 1_300
    c.training.mixture = (("generated", 0.4),)
    c.inference.batch_size = 8
    c.inference.num_draws = 80
    c.evaluation.metrics = (
        "execution_match",
        "exact_match",
        "edit_similarity",
        "validity",
    )
    if form != "at_once":
        config.write_by_plan(c)
        # Candidates that differ, the likeliest first: results/tables/frontier.md.
        c.inference.token_temperature = 1.8
        c.inference.ranking = dict(name="log_prob")
    if form == "large":
        _enlarge(c)
    if form in comparisons.FORMS:
        comparisons.FORMS[form](c)
    return c


def _enlarge(c):
    config.enlarge(c)
    c.pretraining.num_steps = 20_000
    c.pretraining.batch_size = 256
    c.training.num_steps = 5_000
    c.training.batch_size = 256
    c.inference.batch_size = 64
