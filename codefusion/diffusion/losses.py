"""The training losses, eq. (4) and (5).

    paper:  |noise_hat - noise|^2 + |D_s - L(y)|^2 - log p(y | D_s)              (4)
    tokens: w |x0_hat - x0|^2 - log p(y | D(x0_hat))                             (5)
    rounding: |x0_hat - x0|^2 - log p(y | x0 + s noise)                         (5b)

Eq. (4) is the loss of CodeFusion (Singh et al. 2023). Eq. (5) is our own; it compares
x0 itself, as Diffusion-LM does (Li et al. 2022). Eq. (5b) is that of Diffusion-LM and
of GENIE (Lin et al. 2023): what is read is no estimate, but a little off the embedding.
Every term is a mean over positions: code tokens and the eos count 1 and padding counts
`padding_weight`, since the length of a program is learned through its padding.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Prediction(NamedTuple):
    """Everything that a loss may compare; floats are float32.

    Attributes:
      x0: embedded target [B, L, E]; x0_hat: its estimate [B, L, E].
      noise: the noise that was added [B, L, E]; noise_hat: its estimate [B, L, E].
      decoded: the decoder's output in embedding space, D_s [B, L, E].
      log_probs: token log-probabilities [B, L, V].
      target: int32[B, L]; target_mask: bool[B, L].
    """

    x0: jax.Array
    x0_hat: jax.Array
    noise: jax.Array
    noise_hat: jax.Array
    decoded: jax.Array
    log_probs: jax.Array
    target: jax.Array
    target_mask: jax.Array


@dataclasses.dataclass(frozen=True)
class PaperLoss:
    """Eq. (4), Singh et al. 2023, with squared norms averaged over dimensions.

    Attributes:
      noise_weight, decoder_weight, token_weight: of the three terms; 1 as printed.
      padding_weight: of a padding position, in [0, 1]; 1 as far as is known.
    """

    noise_weight: float = 1.0
    decoder_weight: float = 1.0
    token_weight: float = 1.0
    padding_weight: float = 1.0

    def __call__(self, prediction):
        """Returns the loss and its parts.

        Args:
          prediction: a `Prediction`.

        Returns:
          (loss float32[], parts: dict of name -> float32[]).
        """
        p = _checked(prediction)
        weight = position_weights(p.target_mask, self.padding_weight)
        parts = {
            "noise_mse": squared_error(p.noise_hat, p.noise, weight),
            "decoder_mse": squared_error(p.decoded, p.x0, weight),
            "cross_entropy": cross_entropy(p.log_probs, p.target, weight),
        }
        loss = (
            self.noise_weight * parts["noise_mse"]
            + self.decoder_weight * parts["decoder_mse"]
            + self.token_weight * parts["cross_entropy"]
        )
        return loss, parts


@dataclasses.dataclass(frozen=True)
class TokenLoss:
    """Eq. (5): regress the embeddings and read the tokens.

    Attributes:
      x0_weight: w of eq. (5).
      padding_weight: of a padding position, in [0, 1].
    """

    x0_weight: float = 1.0
    padding_weight: float = 0.2

    def __call__(self, prediction):
        """Returns the loss and its parts.

        Args:
          prediction: a `Prediction`.

        Returns:
          (loss float32[], parts: dict of name -> float32[]).
        """
        p = _checked(prediction)
        weight = position_weights(p.target_mask, self.padding_weight)
        parts = {
            "x0_mse": squared_error(p.x0_hat, p.x0, weight),
            "cross_entropy": cross_entropy(p.log_probs, p.target, weight),
        }
        return self.x0_weight * parts["x0_mse"] + parts["cross_entropy"], parts


@dataclasses.dataclass(frozen=True)
class RoundingLoss:
    """Eq. (5b), Diffusion-LM (Li et al. 2022, eq. 2) with x0 of unit RMS.

    There the embeddings may shrink, which a further term prevents; here they cannot.

    Attributes:
      reads_after: s of eq. (5b), the noise under which a token must be legible.
      padding_weight: of a padding position, in [0, 1]; 1 as there.
    """

    reads_after: float = 0.1
    padding_weight: float = 1.0

    def __call__(self, prediction):
        """Returns the loss and its parts; see `TokenLoss`."""
        return TokenLoss(padding_weight=self.padding_weight)(prediction)


def position_weights(target_mask, padding_weight):
    """Returns weights that sum to 1, float32[B, L].

    Args:
      target_mask: True on code and eos, bool[B, L].
      padding_weight: of a position where it is False, before scaling, float.
    """
    weight = jnp.where(target_mask, 1.0, padding_weight)
    # Of counts, which are exact: a sum of many 0.2 depends on where the batch lies.
    real = jnp.sum(target_mask)
    total = real + padding_weight * (target_mask.size - real)
    return weight / total


def squared_error(estimate, truth, weight):
    """Returns the weighted squared error, a mean over dimensions; float32[].

    Args:
      estimate: float32[B, L, E].
      truth: float32[B, L, E].
      weight: of each position, float32[B, L].
    """
    error = jnp.mean(jnp.square(estimate - truth), axis=-1)
    return jnp.sum(weight * error)


def cross_entropy(log_probs, target, weight):
    """Returns the weighted negative log-likelihood in nats, float32[].

    Args:
      log_probs: token log-probabilities, float32[B, L, V].
      target: the true tokens, int32[B, L].
      weight: of each position, float32[B, L].
    """
    # A comparison and a sum, because the gradient of a gather is a scatter.
    is_target = jax.nn.one_hot(target, log_probs.shape[-1], dtype=bool)
    picked = jnp.sum(jnp.where(is_target, log_probs, 0.0), axis=-1)
    return -jnp.sum(weight * picked)


def _checked(prediction):
    p = prediction
    chex.assert_rank(p.x0, 3)
    chex.assert_equal_shape([p.x0, p.x0_hat, p.noise, p.noise_hat, p.decoded])
    chex.assert_shape([p.target, p.target_mask], p.x0.shape[:2])
    chex.assert_shape(p.log_probs, (*p.x0.shape[:2], None))
    return p
