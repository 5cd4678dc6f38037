"""The paper's model and settings, as far as they are known (Singh et al. 2023).

    codefusion train --config=configs/paper/codefusion.py --workdir=runs/paper

`:cf_rules`, `:nl2bash` (the default) and `:conala` choose the language. From the
paper: width 512, 10 denoiser and 6 decoder layers, 128 tokens in and out, square-root
schedule, 1,200 ancestral steps, the three-term loss with equal weights, AdamW at 5e-4
without weight decay, both pre-training tasks. Not known and chosen here: batch size,
number of steps, mask rate, mix of the tasks, moving average, clipping, warm-up and
decay of the rate, dropout, and the vocabulary, as CodeT5's is not part of this
project; the layers are ours too: rotary and learned positions, squared ReLU. Needs an
accelerator; not run yet.

`:xl_1b` and `:xl_3b` are the same model made larger, for pods: heads of 128 that fill a
TPU's matrix unit, layers rematerialised, parameters split over all chips of a slice.
Their depth, batch and rate are chosen here and not tuned. `results/plans/` has what
each needs.

    codefusion plan --config=configs/paper/codefusion.py:xl_1b --topology=v5e:16x16
"""

from codefusion import config

_CORPORA = {
    "cf_rules": ("cf_corpus",),
    "nl2bash": ("bash_corpus",),
    "conala": ("python_corpus",),
}
# Form -> width, layers of encoder, denoiser and decoder, batch size.
_LARGE = {
    "xl_1b": (1536, (8, 12, 6), 512),
    "xl_3b": (2560, (10, 14, 6), 1024),
}
FORMS = (*_CORPORA, *_LARGE)


def get_config(form="nl2bash"):
    """Returns the config for one of `FORMS`; the large ones train on nl2bash."""
    config.check_form(form, FORMS)
    c = _paper(form if form in _CORPORA else "nl2bash")
    if form in _LARGE:
        _enlarge(c, *_LARGE[form])
    return c


def _paper(dataset):
    c = config.base()
    c.data = dict(name=dataset, scheme="released", source_length=128, target_length=128)
    c.tokenizer = dict(name="sentencepiece", vocab_size=32_100, model_type="bpe")
    c.model.update(width=512, embedding_width=512, num_heads=8, head_width=64)
    c.model.update(mlp_width=2048, encoder_layers=6, denoiser_layers=10)
    c.model.update(decoder_layers=6, self_conditioning=False, scan_layers=True)
    c.model.update(dtype="bfloat16", head=dict(name="token"))
    c.model.update(alignment_rounds=0, source_positions=False, share_embedding=False)
    c.diffusion.embedding_scale = 1.0
    c.diffusion.times = dict(name="uniform")
    c.diffusion.loss = dict(name="paper")
    adamw = dict(name="adamw", learning_rate=5e-4, weight_decay=0.0)
    for stage, steps in ((c.pretraining, 100_000), (c.training, 40_000)):
        stage.num_steps = steps
        stage.optimizer = dict(adamw)
        stage.batch_size = 64
    c.pretraining.corpora = _CORPORA[dataset]
    c.training.context_dropout = 0.0
    c.training.self_conditioning = 0.0
    c.sampler = dict(name="ddpm", num_steps=1200, spacing="time")
    c.inference.num_draws = 5
    c.inference.ranking = dict(name="log_prob")
    c.inference.prefer_valid = False
    c.inference.num_repairs = 0
    c.inference.token_temperature = 0.0
    c.evaluation.metrics = ()  # all that apply to the language
    return c


def _enlarge(c, width, layers, batch_size):
    c.model.update(width=width, num_heads=width // 128, head_width=128)
    c.model.update(mlp_width=4 * width, remat=True)
    encoder, denoiser, decoder = layers
    c.model.update(encoder_layers=encoder, denoiser_layers=denoiser)
    c.model.update(decoder_layers=decoder)
    c.sharding.update(data=1, fsdp=-1)
    for stage in (c.pretraining, c.training):
        stage.batch_size = batch_size
        stage.optimizer["learning_rate"] = 2e-4
