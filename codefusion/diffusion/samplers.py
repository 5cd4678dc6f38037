"""From noise to data: one step from time t to time s < t, and the loop over steps.

With rates (a, sigma) of eq. (1) and the estimate x0_hat at time t, a step draws xs:

  DDIM (Song et al. 2021, eq. 12), noise_hat = (xt - a_t x0_hat) / sigma_t,
      xs = a_s x0_hat + sqrt(sigma_s^2 - tau^2) noise_hat + tau z,              (6)
      tau = eta (sigma_s / sigma_t) sqrt(sigma_t^2 - (a_t / a_s)^2 sigma_s^2);
  DDPM (Ho et al. 2020, eq. 6 and 7), the posterior q(xs | xt, x0_hat), which is
      eq. (6) at eta = 1; with c = a_t / a_s and v = sigma_t^2 - c^2 sigma_s^2,
      xs = c (sigma_s / sigma_t)^2 xt + (a_s v / sigma_t^2) x0_hat
           + sqrt(v) (sigma_s / sigma_t) z;                                     (7)
  DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), lambda = log(a / sigma),
      h = lambda_s - lambda_t, r = h_previous / h,
      d = x0_hat + (x0_hat - x0_previous) / (2 r),
      xs = (sigma_s / sigma_t) xt - a_s (e^{-h} - 1) d.                         (8)

A step sees the process and the numbers it is handed, never the network.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from codefusion.diffusion import gaussian


class StepInputs(NamedTuple):
    """What a step may look at.

    Attributes:
      xt: the state at time t, float32[R, L, E] for R rows.
      x0_hat: the estimate at time t, float32[R, L, E].
      x0_previous: the estimate one step earlier (x0_hat itself at the first).
      t: time now; s: time after the step; previous: time before; float32 scalars.
      noise: a standard normal draw, float32[R, L, E].
    """

    xt: jax.Array
    x0_hat: jax.Array
    x0_previous: jax.Array
    t: jax.Array
    s: jax.Array
    previous: jax.Array
    noise: jax.Array


@dataclasses.dataclass(frozen=True)
class DDIM:
    """Eq. (6). eta 0 is deterministic, 1 is ancestral sampling."""

    eta: float = 0.0
    num_steps: int = 20
    spacing: str = "time"

    def __call__(self, process, step):
        """Returns the state at time s, float32[R, L, E].

        Args:
          process: the forward process.
          step: the `StepInputs`.
        """
        a_t, sigma_t = process.rates(step.t)
        a_s, sigma_s = process.rates(step.s)
        noise_hat = gaussian.noise_between(step.xt, step.x0_hat, a_t, sigma_t)
        kept = jnp.square(a_t / a_s * sigma_s)
        tau = self.eta * sigma_s / sigma_t * jnp.sqrt(_not_negative(sigma_t**2 - kept))
        direction = jnp.sqrt(_not_negative(jnp.square(sigma_s) - jnp.square(tau)))
        return a_s * step.x0_hat + direction * noise_hat + tau * step.noise


@dataclasses.dataclass(frozen=True)
class DDPM:
    """Eq. (7), the paper's ancestral sampling (1,200 steps there)."""

    num_steps: int = 1200
    spacing: str = "time"

    def __call__(self, process, step):
        """Returns the state at time s, float32[R, L, E].

        Args:
          process: the forward process.
          step: the `StepInputs`.
        """
        a_t, sigma_t = process.rates(step.t)
        a_s, sigma_s = process.rates(step.s)
        # Not by way of DDIM at eta = 1, where the weight of xt is the root of a
        # difference of near equals: in float32 6 % off in a cosine step from t = 1 to
        # 1/2. Here it is a product.
        shrink = a_t / a_s
        added = _not_negative(jnp.square(sigma_t) - jnp.square(shrink * sigma_s))
        from_xt = shrink * jnp.square(sigma_s / sigma_t)
        from_x0 = a_s * added / jnp.square(sigma_t)
        spread = jnp.sqrt(added) * sigma_s / sigma_t
        return from_xt * step.xt + from_x0 * step.x0_hat + spread * step.noise


@dataclasses.dataclass(frozen=True)
class DPMSolverPP:
    """Eq. (8). Its first step is first order, as there is no earlier estimate."""

    num_steps: int = 20
    spacing: str = "log_snr"

    def __call__(self, process, step):
        """Returns the state at time s, float32[R, L, E].

        Args:
          process: the forward process.
          step: the `StepInputs`.
        """
        a_s, sigma_s = process.rates(step.s)
        _, sigma_t = process.rates(step.t)
        half_log_snr = process.half_log_snr
        h = half_log_snr(step.s) - half_log_snr(step.t)
        h_previous = half_log_snr(step.t) - half_log_snr(step.previous)
        has_previous = h_previous > 0
        weight = jnp.where(has_previous, h / jnp.where(has_previous, h_previous, 1), 0)
        d = step.x0_hat + 0.5 * weight * (step.x0_hat - step.x0_previous)
        return sigma_s / sigma_t * step.xt - a_s * jnp.expm1(-h) * d


def coefficients(step, process, times):
    """Returns the weights of xt and x0_hat in each step's state, float32[num_steps].

    Args:
      step: linear in xt and x0_hat, and it reads nothing else, as DDIM at eta 0.
      process: the forward process.
      times: falling times, float32[num_steps + 1].
    """

    def apply(xt, x0_hat, t, s):
        none = jnp.zeros((1, 1, 1))
        return step(process, StepInputs(none + xt, none + x0_hat, none, t, s, t, none))[
            0, 0, 0
        ]

    def both(t, s):
        return apply(1.0, 0.0, t, s), apply(0.0, 1.0, t, s)

    return jax.vmap(both)(times[:-1], times[1:])


def guide(conditional, empty, *, guidance):
    """Returns the estimate under classifier-free guidance, float32[R, L, E].

    Ho and Salimans 2022, eq. 6, with guidance = 1 + w; 1 gives the conditional.

    Args:
      conditional: x0_hat under the context, float32[R, L, E].
      empty: x0_hat under the empty context, float32[R, L, E].
      guidance: a number, at least 0.
    """
    chex.assert_equal_shape([conditional, empty])
    if guidance == 1:
        return conditional
    return empty + guidance * (conditional - empty)


def _not_negative(x):
    return jnp.maximum(x, 0.0)


def time_grid(process, num_steps, spacing):
    """Returns the times a sampler visits, from 1 down to 0, float32[num_steps + 1].

    Args:
      process: the forward process.
      num_steps: how often the network is called; at least 1.
      spacing: a name in `SPACINGS`, what the times are evenly spaced in.
    """
    if not (isinstance(num_steps, int) and num_steps >= 1):
        raise ValueError(
            f"sampler.num_steps is {num_steps!r}; expected an int from 1 up."
        )
    if spacing not in SPACINGS:
        raise ValueError(
            f"sampler.spacing is {spacing!r}; expected one of {sorted(SPACINGS)}."
        )
    return SPACINGS[spacing](process, jnp.linspace(1.0, 0.0, num_steps + 1))


def _even_in_time(process, even):
    del process
    return even


def _even_in_log_snr(process, even):
    log_snr = process.schedule.log_snr
    wanted = log_snr(1.0) + (log_snr(0.0) - log_snr(1.0)) * (1.0 - even)

    def halve(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        later = log_snr(middle) > wanted  # log_snr falls from data to noise
        return jnp.where(later, middle, low), jnp.where(later, high, middle)

    # Bisection: sqrt loses a fifth of its log-SNR in the last 2e-4 of time.
    bounds = jnp.zeros_like(even), jnp.ones_like(even)
    _, inner = jax.lax.fori_loop(0, 40, halve, bounds)
    return inner.at[0].set(1.0).at[-1].set(0.0)


SPACINGS = {"time": _even_in_time, "log_snr": _even_in_log_snr}


def sample(
    step,
    process: gaussian.GaussianProcess,
    denoise,
    x1,
    times,
    *,
    draw_noise=None,
    observe=lambda xt, x0_hat: x0_hat,
):
    """Returns the last estimate of x0 and the estimates along the way.

    One `lax.scan`; the network is called once a step and the state after the last
    step is never needed, so the estimate of the last call is the answer.

    Args:
      step: a sampler step, `(process, StepInputs) -> xs`.
      process: the forward process.
      denoise: `(xt, t, estimate) -> x0_hat`, parameters bound; `estimate` is the
        previous x0_hat for self-conditioning, zeros at the first step.
      x1: the starting noise, float32[R, L, E].
      times: falling times, float32[num_steps + 1].
      draw_noise: `step index -> float32[R, L, E]`, standard normal; None where the
        step adds no noise.
      observe: what is kept of each step, `(xt, x0_hat) -> tree of arrays`.

    Returns:
      x0_hat, float32[R, L, E], and what was kept of all steps: by default their
      estimates, float32[num_steps, R, L, E].
    """
    chex.assert_rank([x1, times], [3, 1])
    draw = draw_noise or (lambda index: jnp.zeros_like(x1))

    def body(carry, inputs):
        xt, estimate = carry
        index, previous, t, s = inputs
        x0_hat = denoise(xt, jnp.full(xt.shape[:1], t), estimate)
        earlier = jnp.where(index == 0, x0_hat, estimate)
        inputs = StepInputs(xt, x0_hat, earlier, t, s, previous, draw(index))
        return (step(process, inputs), x0_hat), observe(xt, x0_hat)

    previous = jnp.concatenate([times[:1], times[:-2]])
    steps = (jnp.arange(len(times) - 1), previous, times[:-1], times[1:])
    (_, x0_hat), trajectory = jax.lax.scan(body, (x1, jnp.zeros_like(x1)), steps)
    return x0_hat, trajectory
