"""From batch to loss: the one function that calls every step, in order."""

import dataclasses

import jax
import jax.numpy as jnp

from codefusion import diffusion
from codefusion.diffusion import losses


@dataclasses.dataclass(frozen=True)
class Objective:
    """The training loss of one stage; called by the training step.

    Attributes:
      model: a `CodeFusion` module.
      process: the forward process.
      times: draws diffusion times, `(key, B) -> float32[B]`.
      loss: `Prediction -> (loss, parts)`.
      context_dropout: probability that a row loses its context, for classifier-free
        guidance (Ho and Salimans 2022).
      self_conditioning: probability that the denoiser sees its own first estimate
        (Chen et al. 2022, analog bits); the draw is for the whole batch, so that the
        extra pass is skipped when it is not needed.
      has_code_rows: whether any row may be `unsupervised`; without, no noise is drawn
        in the place of its context.
      estimate_noise: deviation of Gaussian noise on that first estimate, in embedding
        scales: with few steps what the sampler hands on is worse than what training
        shows, and a perturbed estimate is trusted less (FastDiSS, arXiv 2604.05551).
    """

    model: object
    process: diffusion.GaussianProcess
    times: object
    loss: object
    context_dropout: float
    self_conditioning: float
    has_code_rows: bool = True
    estimate_noise: float = 0.0

    def __call__(self, params, batch, key):
        """Returns the loss, float32[], and its parts by name.

        Args:
          params: the model's parameters.
          batch: a `Batch`.
          key: a PRNG key; the loss is a pure function of the three.
        """
        keys = _Keys(*jax.random.split(key, len(_Keys.__dataclass_fields__)))
        call = self._bind(params, keys.dropout)
        x0 = call("embed", batch.target)
        context = self._context(call, batch, keys)
        t = self.times(keys.time, x0.shape[0])
        noise = jax.random.normal(keys.noise, x0.shape)
        xt = self.process.add_noise(x0, t, noise=noise)
        inputs = self.process.network_input(xt, t)
        estimate = self._estimate(call, inputs, t, context, keys.self_conditioning)
        x0_hat = call("denoise", inputs, t, estimate, context)
        read = x0_hat
        if isinstance(self.loss, losses.RoundingLoss):
            read = x0 + self.loss.reads_after * noise
        hidden, log_probs = call("decode", read, context, batch.target)
        return self.loss(
            losses.Prediction(
                x0=x0,
                x0_hat=x0_hat,
                noise=noise,
                noise_hat=self.process.noise_from_x0(xt, x0_hat, t),
                decoded=call("read_embedding", hidden),
                log_probs=log_probs,
                target=batch.target,
                target_mask=batch.target_mask,
            )
        )

    def _bind(self, params, dropout_key):
        """Returns `call(method, *args)` with parameters and dropout keys bound.

        With `first_pass=True` the denoiser draws other dropout than without.
        """
        draws = ("encode", "first_pass", "denoise", "decode")
        keys = dict(zip(draws, jax.random.split(dropout_key, len(draws)), strict=True))

        def call(method, *args, first_pass=False, **kwargs):
            key = keys.get("first_pass" if first_pass else method)
            if key is not None:
                kwargs |= dict(deterministic=False, rngs={"dropout": key})
            return self.model.apply({"params": params}, *args, **kwargs, method=method)

        return call

    def _context(self, call, batch, keys):
        noise = None
        if self.has_code_rows:
            shape = (*batch.source.shape, self.model.width)
            draw = jax.random.normal(keys.context_noise, shape)
            noise = (batch.unsupervised, draw)
        dropped = jax.random.bernoulli(
            keys.context_dropout, self.context_dropout, batch.unsupervised.shape
        )
        return call(
            "encode",
            batch.source,
            batch.source_mask,
            dropped=dropped & ~batch.unsupervised,
            noise=noise,
        )

    def _estimate(self, call, inputs, t, context, key):
        """Returns a first x0_hat without gradient, or zeros; float32[B, L, E]."""
        if not self.model.self_conditioning or not self.self_conditioning:
            return jnp.zeros_like(inputs)

        def first_pass():
            nothing = jnp.zeros_like(inputs)
            found = call("denoise", inputs, t, nothing, context, first_pass=True)
            if not self.estimate_noise:
                return found
            deviation = self.estimate_noise * self.process.embedding_scale
            draw = jax.random.normal(jax.random.fold_in(key, 1), found.shape)
            return found + deviation * draw

        wanted = jax.random.bernoulli(key, self.self_conditioning)
        estimate = jax.lax.cond(wanted, first_pass, lambda: jnp.zeros_like(inputs))
        return jax.lax.stop_gradient(estimate)


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """The training loss of an autoregressive model; called by the training step.

    The cross-entropy of each token given those before it, a mean over code tokens and
    the eos. A row of unsupervised generation has no context and is language modelling.

    Attributes:
      model: a `models.Autoregressive`.
    """

    model: object

    def __call__(self, params, batch, key):
        """Returns the loss, float32[], and its parts by name; see `Objective`."""
        keys = dict(zip(("encode", "write"), jax.random.split(key), strict=True))

        def call(method, *args, **kwargs):
            kwargs |= dict(deterministic=False, rngs={"dropout": keys[method]})
            return self.model.apply({"params": params}, *args, **kwargs, method=method)

        context = call(
            "encode", batch.source, batch.source_mask, dropped=batch.unsupervised
        )
        _, log_probs = call("write", batch.target, context)
        weight = losses.position_weights(batch.target_mask, padding_weight=0.0)
        loss = losses.cross_entropy(log_probs, batch.target, weight)
        return loss, {"cross_entropy": loss}


@dataclasses.dataclass(frozen=True)
class _Keys:
    """What an objective draws, a key each."""

    time: jax.Array
    noise: jax.Array
    context_noise: jax.Array
    context_dropout: jax.Array
    self_conditioning: jax.Array
    dropout: jax.Array
