"""Turns a config into that of a system to compare with, of the same size and data.

The data, the steps of fine-tuning and the optimizer stay as they are, and so do width,
encoder and number of layers, so that a table compares systems and not budgets; of steps
of pre-training the form of Diffusion-LM has none and that of GENIE at least as many.
"""


def autoregressive(config):
    """Makes the model write from left to right; candidates are drawn from a nucleus.

    The config's token temperature and ranking stay.

    Args:
      config: a ConfigDict of a diffusion model that writes by a plan; it is changed.
    """
    model = config.model.to_dict()
    for key in ("self_conditioning", "alignment_rounds", "causal_decoder"):
        del model[key]
    model["decoder_layers"] += model.pop("denoiser_layers")
    # Nothing is diffused, so nothing is gained by a narrow embedding.
    model.update(name="autoregressive", embedding_width=model["width"])
    config.model = model
    config.training.update(self_conditioning=0.0, context_dropout=0.0)
    config.sampler = dict(name="nucleus", top_p=0.95)
    config.inference.update(num_repairs=0, num_beams=0)


def diffusion_lm(config):
    """Makes the model that of Diffusion-LM (Li et al. 2022) with an encoder.

    No decoder, tokens by the nearest embedding, every estimate clamped to embeddings,
    no pre-training, ancestral sampling; a set that covers the draws is shown.

    Args:
      config: a ConfigDict of a diffusion model; it is changed.
    """
    _without_decoder(config)
    config.pretraining.num_steps = 0
    config.inference.rounding = dict(name="clamping")


def genie(config):
    """Makes the model that of GENIE (Lin et al. 2023).

    No decoder, tokens by the nearest embedding at the end, pre-training by restoring a
    run of tokens, as many steps as follow where the config has none, ancestral
    sampling. Unlike there the whole program is written, each masked token leaves a mask
    of its own, embeddings have unit RMS, estimates are not rounded on the way, and of
    the draws a set is shown that covers them.

    Args:
      config: a ConfigDict of a diffusion model; it is changed.
    """
    _without_decoder(config)
    config.pretraining.update(cpd_weight=1.0, masked="run", mask_rate=0.3)
    if not config.pretraining.num_steps:
        config.pretraining.num_steps = config.training.num_steps
    config.inference.rounding = dict(name="grounding")


def _without_decoder(config):
    model = config.model
    model.denoiser_layers += model.decoder_layers
    model.update(decoder_layers=0, alignment_rounds=0, self_conditioning=False)
    model.causal_decoder = False
    config.training.update(self_conditioning=0.0, context_dropout=0.0)
    config.diffusion.loss = dict(name="rounding")
    config.diffusion.times = dict(name="uniform")
    config.sampler = dict(name="ddpm", num_steps=200)
    config.inference.update(num_repairs=0, num_beams=0, guidance=1.0)
    # Such models draw no tokens: the nearest one is taken, of as many noises as drawn.
    config.inference.token_temperature = 0.0
    config.inference.ranking = dict(name="covering")


FORMS = {
    "autoregressive": autoregressive,
    "diffusion_lm": diffusion_lm,
    "genie": genie,
}
