"""Requests to Bash, Python and rules: the model that is in the package.

    codefusion train --config=configs/shipped.py --workdir=runs/shipped
    codefusion evaluate --workdir=runs/shipped --dataset=conala

One model for three languages, told apart by a tag before the request. It is trained
only on what may be passed on with attribution: no row and no snippet of the authors'
files, whose license is not stated. Rounded to float16 its weights have 7 MB; more than
12 the package does not take. The form `configs/shipped.py:autoregressive` is the model
to compare it with, of the same size, data and steps.
"""

from codefusion import comparisons, config

FORMS = ("small", "autoregressive")


def get_config(form="small"):
    """Returns the config of one of `FORMS`."""
    config.check_form(form, FORMS)
    c = config.base()
    c.data = dict(name="nl2bash", scheme="random", source_length=48, target_length=32)
    c.source.language_tag = True
    c.tokenizer.update(vocab_size=4096, max_training_sentences=120_000)
    c.model.update(width=128, num_heads=8, mlp_width=512)
    config.write_by_plan(c)
    # As in `nl2bash.py`: most layers to the decoder, embeddings as wide as it is.
    c.model.update(denoiser_layers=1, decoder_layers=4, embedding_width=128)
    c.diffusion.embedding_scale = 0.125
    c.training.num_steps = 9_000
    c.training.mixture = (("generated", 0.15), ("conala", 0.15), ("python_docs", 0.25))
    c.training.checkpoint_every = 1_000
    c.evaluation.update(max_rows=300, metrics=())
    if form == "autoregressive":
        comparisons.autoregressive(c)
    return c
