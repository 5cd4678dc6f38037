"""What is compiled to answer a request: from its tokens to draws of programs.

Noise is drawn from a key folded from (seed, request number, draw number), so that a
draw does not depend on the batch it rode in.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from codefusion import decoding, diffusion, models, search, sharding
from pallas_kernels import resident_denoiser

# What is folded into the key of a draw, so that nothing is drawn from one key twice:
# the noise at the start, that of step i at _STEP_STREAM + i, and the tokens, at the
# largest number that fits, out of reach of any step.
_START_STREAM = 0
_STEP_STREAM = 1
_TOKEN_STREAM = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a compiled program depends on; equal plans share one in a process.

    It holds no parameters, so a program keeps none alive.

    Attributes:
      model, process, rounding, sampler: as in `assemble.Parts`.
      target_length: L; num_draws: of a request.
      guidance, temperature, token_temperature, top_p, num_beams: as in
        `inference.Settings`.
      is_resident: whether all steps are one program, `resident_denoiser`.
    """

    model: object
    process: object
    rounding: object
    sampler: object
    target_length: int
    num_draws: int
    guidance: float
    temperature: float
    token_temperature: float
    is_resident: bool
    top_p: float = 1.0
    num_beams: int = 0

    @classmethod
    def make(cls, parts, config, settings, num_draws):
        """Returns the plan of a config.

        Args:
          parts: an `assemble.Parts`.
          config: a checked config.
          settings: an `inference.Settings`, or a config's section `inference`.
          num_draws: of a request; rounded up to a multiple of the beams, as every plan
            gives all of its own.
        """
        beams = settings.num_beams or 1
        return cls(
            model=parts.model,
            process=parts.process,
            rounding=parts.rounding,
            sampler=parts.sampler,
            target_length=config.data.target_length,
            num_draws=-(-num_draws // beams) * beams,
            guidance=settings.guidance,
            temperature=settings.temperature,
            token_temperature=settings.token_temperature,
            top_p=settings.top_p,
            num_beams=settings.num_beams,
            is_resident=config.inference.denoiser == "resident",
        )

    @property
    def num_plans(self):
        """Noises denoised for a request, one for each draw or for each set of beams."""
        return self.num_draws // (self.num_beams or 1)


class Trajectory(NamedTuple):
    """What R draws of a request are at each step, [steps, R, L].

    Attributes:
      tokens: the likeliest, int32.
      log_probs: of those tokens, float32.
      nearest: the tokens whose embeddings are nearest to the estimate, int32.
      distances: to those embeddings, root mean square over their dimensions, float32;
        an embedding itself has length 1.
      noisy: the tokens whose embeddings are nearest to the noisy state, int32.
    """

    tokens: jax.Array
    log_probs: jax.Array
    nearest: jax.Array
    distances: jax.Array
    noisy: jax.Array


@functools.partial(jax.jit, static_argnums=0)
def draw(plan, params, source, mask, key, numbers):
    """Returns the draws of a batch, a `decoding.Draw` of arrays [B, num_draws, ...].

    Args:
      plan: a `Plan`.
      params: of the model.
      source: int32[B, S].
      mask: bool[B, S].
      key: a random key.
      numbers: of the requests, folded into their keys, int32[B].
    """
    keys = decoding.draw_keys(key, numbers, plan.num_plans)
    denoised = dataclasses.replace(plan, num_draws=plan.num_plans)
    x0_hat, _, context = _sample(denoised, params, source, mask, keys)
    token_keys = jax.vmap(lambda k: jax.random.fold_in(k, _TOKEN_STREAM))(keys)
    draws = _read(plan, params, x0_hat, context, token_keys)
    shape = (len(source), plan.num_draws)

    def whole(leaf):
        leaf = leaf.reshape(*shape, *leaf.shape[1:])
        return sharding.constrain(leaf, *[None] * leaf.ndim)

    return jax.tree.map(whole, draws)


@functools.partial(jax.jit, static_argnums=0)
def trajectory(plan, params, source, mask, key, number):
    """Returns the `Trajectory` of the draws of one request.

    Args:
      plan: a `Plan` whose steps are a loop.
      params: of the model.
      source: of the request, int32[1, S].
      mask: bool[1, S].
      key: a random key.
      number: of the request, folded into its keys, int32[].
    """
    keys = decoding.draw_keys(key, jnp.asarray(number)[None], plan.num_draws)
    table = plan.model.apply({"params": params}, method="embedding_table")
    greedy = dataclasses.replace(plan, token_temperature=0.0)

    def observe(xt, x0_hat, context):
        read = _read(greedy, params, x0_hat, context, keys)
        nearest = jnp.argmax(diffusion.nearest_log_probs(x0_hat, table), axis=-1)
        apart = jnp.mean(jnp.square(x0_hat - table[nearest]), axis=-1)
        noisy = jnp.argmax(diffusion.nearest_log_probs(xt, table), axis=-1)
        return Trajectory(read.tokens, read.log_probs, nearest, jnp.sqrt(apart), noisy)

    return _sample(plan, params, source, mask, keys, observe)[1]


def _sample(plan, params, source, mask, keys, observe=lambda *_, context: ()):
    """Returns x0_hat [R, L, E], what `observe` made of every step's, and the context.

    Nothing else is kept of the steps. Where all of them are one program, it makes
    nothing of any.
    """
    bound = functools.partial(plan.model.apply, {"params": params})
    shape = (plan.target_length, plan.model.embedding_width)
    x1 = plan.temperature * _normal(keys, _START_STREAM, shape)
    times = times_of(plan.process, plan.sampler)
    each = _contexts(bound, source, mask, plan)
    contexts = [context.repeat(plan.num_draws) for context in each]
    if plan.is_resident:
        return _resident(plan, params, x1, times, each[0]), None, contexts[0]
    table = bound(method="embedding_table")

    def denoise(xt, t, estimate):
        inputs = plan.process.network_input(xt, t)
        guesses = [
            bound(inputs, t, estimate, context, method="denoise")
            for context in contexts
        ]
        x0_hat = diffusion.guide(guesses[0], guesses[-1], guidance=plan.guidance)
        return plan.rounding(x0_hat, table)

    x0_hat, observed = diffusion.sample(
        plan.sampler,
        plan.process,
        denoise,
        x1,
        times,
        draw_noise=lambda index: _normal(keys, _STEP_STREAM + index, shape),
        observe=functools.partial(observe, context=contexts[0]),
    )
    return x0_hat, observed, contexts[0]


def _resident(plan, params, x1, times, context):
    """Returns x0_hat [R, L, E] by the kernel that runs all steps (eq. 3 and 6)."""
    t, dtype = times[:-1], plan.model.dtype
    keep, pull = diffusion.coefficients(plan.sampler, plan.process, times)
    scale = plan.process.network_input(jnp.ones((len(t), 1, 1)), t)[:, 0, 0]
    x0_hat = resident_denoiser.sample(
        models.resident.weights(params, num_heads=plan.model.num_heads, dtype=dtype),
        resident_denoiser.Steps(
            models.resident.times(params, t, dtype=dtype), scale, keep, pull
        ),
        x1.reshape(-1, plan.num_draws, *x1.shape[1:]),
        models.resident.key_values(context),
        context.mask,
        num_heads=plan.model.num_heads,
    )
    return x0_hat.reshape(x1.shape)


def _read(plan, params, x0_hat, context, keys):
    """Returns the tokens of estimates, a `decoding.Draw` of [R, ...].

    R is `num_beams` times the number of estimates, where there are beams.
    """
    if plan.model.causal_decoder:
        apply = functools.partial(plan.model.apply, {"params": params})
        planned = apply(x0_hat, context, method="planned")
        beams = plan.num_beams or 1
        return search.write(
            search.Plan(
                model=plan.model,
                search=search.Beam() if plan.num_beams else search.Nucleus(plan.top_p),
                target_length=plan.target_length,
                num_draws=beams,
                token_temperature=plan.token_temperature,
            ),
            params,
            planned.repeat(beams),
            keys,
        )
    log_probs = _log_probs(plan, params, x0_hat, context)
    return decoding.draw(log_probs, keys, plan.token_temperature)


def _log_probs(plan, params, x0_hat, context):
    """Returns token log-probabilities, float32[R, L, V]."""
    bound = functools.partial(plan.model.apply, {"params": params})
    if plan.rounding.reads_decoder:
        return bound(x0_hat, context, method="decode")[1]
    return diffusion.nearest_log_probs(x0_hat, bound(method="embedding_table"))


def _contexts(bound, source, mask, plan):
    """Returns the context of each request, and an empty one for guidance."""
    context = bound(source, mask, method="encode")
    found = [context]
    if plan.guidance != 1.0:
        dropped = jnp.ones(len(source), bool)
        found.append(bound(source, mask, dropped=dropped, method="encode"))
    return found


def _normal(keys, index, shape):
    """Returns a standard normal draw for each key, float32[R, *shape]."""

    def draw(key):
        return jax.random.normal(jax.random.fold_in(key, index), shape)

    return jax.vmap(draw)(keys)


def times_of(process, sampler):
    """Returns the times that a sampler visits, float32[num_steps + 1]."""
    return diffusion.time_grid(process, sampler.num_steps, sampler.spacing)
