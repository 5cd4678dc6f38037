"""The whole network: `embed`, `encode`, `denoise`, `decode` over one parameter tree."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion import diffusion
from codefusion.models import decoder, denoiser, layers, writing


class CodeFusion(writing.Writer, kw_only=True):
    """Encoder, denoiser, decoder and head (Singh et al. 2023, section 2).

    Its embedding width E is the width that is diffused.

    Attributes:
      denoiser_layers: depth.
      decoder_layers: depth; 0 for no decoder: a token is then the nearest embedding,
        as in Diffusion-LM (Li et al. 2022) and GENIE (Lin et al. 2023).
      causal_decoder: whether the decoder writes from left to right, with x0_hat as its
        plan, and not all positions at once (latent diffusion with an autoregressive
        decoder: Lovelace et al. 2023, Zhang et al. 2023).
      self_conditioning: whether the denoiser reads its previous estimate.
      alignment_rounds: of cross-attention along the diagonal, see `alignment`.
    """

    denoiser_layers: int
    decoder_layers: int
    causal_decoder: bool = False
    self_conditioning: bool = True
    alignment_rounds: int = 2

    def setup(self):
        super().setup()
        stack = dict(**self._layer_fields(), alignment_rounds=self.alignment_rounds)
        self.denoiser_context = self._context_projection(self.denoiser_layers)
        self.denoiser = denoiser.Denoiser(
            width=self.width,
            embedding_width=self.embedding_width,
            stack=dict(**stack, num_layers=self.denoiser_layers),
            max_length=self.max_target_length,
            self_conditioning=self.self_conditioning,
            dtype=self.dtype,
        )
        if not self.decoder_layers:
            return
        self.decoder_context = self._context_projection(self.decoder_layers)
        stack["num_layers"] = self.decoder_layers
        if self.causal_decoder:
            # What is to be copied follows from the tokens before.
            stack.update(causal=True, alignment_rounds=0)
            self.read_plan = layers.Dense(self.width, dtype=self.dtype)
            shape = (self.max_target_length, self.width)
            normal = nn.initializers.normal(1.0)
            self.plan_positions = self.param("plan_positions", normal, shape)
        self.decoder = decoder.Decoder(
            width=self.width,
            stack=stack,
            max_length=self.max_target_length,
            dtype=self.dtype,
        )
        self.to_embedding = layers.Dense(self.embedding_width, dtype=self.dtype)

    def __call__(self, source, source_mask, target):
        """Runs every part once, for initialisation; x0 is denoised at time 0.

        Args:
          source: int32[B, S].
          source_mask: bool[B, S].
          target: int32[B, L].

        Returns:
          (decoded, log-probabilities): `read_embedding` float32[B, L, E] and
          float32[B, L, V] of `decode`.
        """
        x0 = self.embed(target)
        context = self.encode(source, source_mask)
        x0_hat = self.denoise(x0, jnp.zeros(len(x0)), jnp.zeros_like(x0), context)
        hidden, log_probs = self.decode(x0_hat, context, target)
        return self.read_embedding(hidden), log_probs

    def project(self, hidden):
        """Returns the keys and values of a context; see `source.Context`."""
        return dict(
            denoiser=self.denoiser_context(hidden),
            decoder=self.decoder_context(hidden) if self.decoder_layers else None,
        )

    def denoise(self, xt, t, estimate, context, *, deterministic=True):
        """Returns x0_hat, float32[B, L, E].

        Args:
          xt: noised embeddings at unit variance (eq. 3), float32[B, L, E].
          t: diffusion time, float32[B].
          estimate: the previous x0_hat, zeros if none, float32[B, L, E].
          context: from `encode`.
          deterministic: False draws dropout from the "dropout" stream.
        """
        self._check_embeddings(xt, context)
        chex.assert_equal_shape([xt, estimate])
        chex.assert_shape(t, (len(xt),))
        return self.denoiser(
            xt,
            t,
            estimate=estimate,
            key_values=context.denoiser,
            source_mask=context.mask,
            deterministic=deterministic,
        )

    def decode(self, x0_hat, context, target=None, *, deterministic=True):
        """Returns hidden [B, L, D] and token log-probabilities float32[B, L, V].

        Without a decoder, x0_hat itself and those of the nearest embeddings.

        Args:
          x0_hat: clean embeddings, float32[B, L, E].
          context: from `encode`.
          target: what a causal decoder has before each position, int32[B, L].
          deterministic: False draws dropout from the "dropout" stream.
        """
        self._check_embeddings(x0_hat, context)
        if not self.decoder_layers:
            table = self.embedding_table()
            return x0_hat, diffusion.nearest_log_probs(x0_hat, table)
        if self.causal_decoder:
            context = self.planned(x0_hat, context)
            return self.write(target, context, deterministic=deterministic)
        hidden = self.decoder(
            x0_hat,
            key_values=context.decoder,
            source_mask=context.mask,
            deterministic=deterministic,
        )
        log_probs = self.token_head(
            hidden,
            context=context.hidden,
            copyable=context.copyable,
            source=context.source,
        )
        return hidden, log_probs

    def planned(self, x0_hat, context):
        """Returns the context by which a causal decoder writes; see `writing`.

        It attends to the plan as to the source, and at each position also reads the
        plan of that position.

        Args:
          x0_hat: the plan, float32[B, L, E].
          context: from `encode`.
        """
        hidden = self.read_plan(x0_hat.astype(self.dtype))
        length = x0_hat.shape[1]
        positions = layers.first_positions(self.plan_positions, length, kind="target")
        added = self.decoder_context(hidden + positions.astype(self.dtype))
        everywhere = jnp.ones(x0_hat.shape[:2], bool)
        return context._replace(
            decoder=jnp.concatenate([context.decoder, added], axis=3),
            mask=jnp.concatenate([context.mask, everywhere], axis=1),
            plan=x0_hat,
        )

    def beside(self, embedded, context, position):
        """Returns the tokens before beside the plan, float32[B, l, 2 E]."""
        plan = context.plan
        if position is not None:
            plan = jax.lax.dynamic_slice_in_dim(plan, position, 1, axis=1)
        return jnp.concatenate([embedded, plan], axis=-1)

    def _check_embeddings(self, x, context):
        chex.assert_shape(x, (len(context.mask), None, self.embedding_width))

    def read_embedding(self, hidden):
        """Returns the decoder's output in embedding space, D_s; float32[B, L, E]."""
        if not self.decoder_layers:
            return hidden
        return self.to_embedding(hidden).astype(jnp.float32)
