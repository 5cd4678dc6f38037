"""Requests to Bash, NL2Bash as the authors released it.

    codefusion train --config=configs/nl2bash.py --workdir=runs/nl2bash
    codefusion evaluate --workdir=runs/nl2bash

The random split, sized for two CPU cores. The forms `configs/nl2bash.py:FORM` are
`released` (the authors' split), `at_once` (all tokens at once), `large` (for one GPU),
and `autoregressive`, `diffusion_lm` and `genie`, systems to compare with, see
`codefusion/comparisons.py`. What was run and measured is in `results/`, see its tables.
"""

from codefusion import comparisons, config

FORMS = ("small", "released", "large", "at_once", *comparisons.FORMS)


def get_config(form="small"):
    """Returns the config of one of `FORMS`."""
    config.check_form(form, FORMS)
    c = config.base()
    scheme = "released" if form == "released" else "random"
    c.data = dict(name="nl2bash", scheme=scheme, source_length=40, target_length=32)
    c.tokenizer.vocab_size = 4096
    c.model.update(width=128, num_heads=8, mlp_width=512)
    # Read only where a form or the command line asks for steps of pre-training.
    c.pretraining.corpora = ("bash_corpus",)
    c.training.num_steps = 4_000
    c.inference.batch_size = 8
    c.evaluation.max_rows = 500
    c.evaluation.metrics = (
        "template_match_loose",
        "template_match_strict",
        "edit_similarity",
        "exact_match",
        "validity",
    )
    if form == "at_once":
        c.inference.token_temperature = 0.0
    else:
        config.write_by_plan(c)
        # More of the layers to the decoder, and embeddings as wide as it is.
        c.model.update(denoiser_layers=1, decoder_layers=4, embedding_width=128)
        c.diffusion.embedding_scale = 0.125
    if form == "large":
        _enlarge(c)
    if form in comparisons.FORMS:
        comparisons.FORMS[form](c)
    return c


def _enlarge(c):
    config.enlarge(c)
    c.diffusion.embedding_scale = 0.5  # see docs/recipe.md on what noise hides
    c.model.remat = True
    c.data.update(source_length=96, target_length=96)
    c.pretraining.num_steps = 5_000
    c.pretraining.batch_size = 512
    c.training.num_steps = 10_000
    c.training.batch_size = 512
    c.inference.batch_size = 64
    c.evaluation.max_rows = 0
