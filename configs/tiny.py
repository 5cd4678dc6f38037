"""The smallest run of both stages, for tests: it writes no good rule.

    codefusion train --config=configs/tiny.py --workdir=runs/tiny

Pre-training on generated pairs, then fine-tuning, with dropout, context dropout, the
moving average and self-conditioning on; a few seconds of training on two CPU cores.
The code-only tasks of pre-training need a corpus, and this needs no file.
"""

from codefusion import config


def get_config():
    """Returns the config."""
    c = config.base()
    c.data = dict(
        name="generated",
        source_length=40,
        target_length=20,
        size=2_000,
        held_out_size=50,
    )
    c.tokenizer.vocab_size = 448
    c.tokenizer.max_training_sentences = 2_000
    c.model.update(
        width=32,
        embedding_width=8,
        num_heads=2,
        head_width=16,
        mlp_width=64,
        encoder_layers=1,
        denoiser_layers=1,
        decoder_layers=1,
    )
    # AdamW compiles in a fraction of Muon's time.
    c.pretraining.optimizer = c.training.optimizer = dict(
        name="adamw", learning_rate=2e-3, warmup_steps=5
    )
    c.pretraining.num_steps = 10
    c.pretraining.batch_size = 16
    c.pretraining.mixture = (("generated", 1.0),)
    c.training.num_steps = 30
    c.training.context_dropout = 0.1
    c.training.batch_size = 16
    c.training.checkpoint_every = 10
    c.training.log_every = 5
    c.sampler.num_steps = 5
    c.inference.num_draws = 6
    c.inference.batch_size = 4
    c.evaluation.max_rows = 8
    return c
