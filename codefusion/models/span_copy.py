"""A head that copies spans: point at a first token, then go on to the next.

A name or number moves from request to program as a run of source tokens. Pointing anew
at every position must find the k-th token of the run each time, and fails where
characters repeat; carrying the pointer forward does not. With a_l the pointer of
position l over the source,

    next_l = shift(a_{l-1})                      one token further in the source
    r_l    = sum_s next_{ls} C_s                 what stands there
    go_l   = sigmoid(w . [h_l, r_l])             go on, or point anew
    a_l    = go_l next_l + (1 - go_l) softmax(q(h_l) . k(C))
    p(y_l) = g_l softmax(W [h_l, r_l])[y_l] + (1 - g_l) sum_s a_{ls} [source_s = y_l]

which is location-based addressing (Graves et al. 2014, section 3.3.2) over a pointer
network (See et al. 2017). Only the pointer runs along the target; every hidden state
is computed at once.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from codefusion.models import decoder, layers


class SpanCopyHead(nn.Module):
    """Token log-probabilities from the vocabulary and from spans of the source."""

    vocab_size: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, hidden, context, copyable, source):
        """Returns token log-probabilities, float32[B, L, V].

        Args:
          hidden: decoder output, [B, L, D].
          context: encoder output, [B, S, D].
          copyable: True on source tokens that may be copied, bool[B, S].
          source: int32[B, S].
        """
        pointer, following = self._point(hidden, context, copyable)
        state = jnp.concatenate([hidden, following.astype(self.dtype)], axis=-1)
        logits = self._dense(self.vocab_size, "vocabulary", state)
        keep = nn.sigmoid(self._dense(1, "gate", state).astype(jnp.float32))
        none = ~jnp.any(copyable, axis=-1)[:, None, None]
        keep = jnp.where(none, 1.0, keep)
        copied = decoder.scatter(pointer, source, self.vocab_size)
        probs = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
        return jnp.log(keep * probs + (1.0 - keep) * copied + 1e-9)

    def _dense(self, features, name, x):
        return layers.Dense(features, dtype=self.dtype, name=name)(x)

    def _point(self, hidden, context, copyable):
        """Returns a [B, L, S] and r [B, L, D], float32."""
        width = hidden.shape[-1]
        query, key = (
            self._dense(width, "query", hidden),
            self._dense(width, "key", context),
        )
        scores = jnp.einsum("bld,bsd->bls", query, key).astype(jnp.float32)
        scores = jnp.where(copyable[:, None], scores * width**-0.5, -1e9)
        anew = jax.nn.softmax(scores, axis=-1)
        go = self._dense(1, "go", hidden).astype(jnp.float32)[..., 0]
        weight = self.param("go_next", nn.initializers.normal(width**-0.5), (width,))
        memory = context.astype(jnp.float32)
        signal = memory @ weight  # w . r_l is the pointer's mean of this

        def step(pointer, inputs):
            anew, go = inputs
            following = _shift(pointer, copyable)
            go = nn.sigmoid(go + jnp.sum(following * signal, axis=-1))[:, None]
            return go * following + (1.0 - go) * anew, following

        def finish(pointer, inputs):
            pointer, following = step(pointer, inputs)
            return pointer, (pointer, following)

        start = jnp.zeros_like(anew[:, 0])
        by_position = (jnp.moveaxis(anew, 1, 0), go.T)
        _, (pointer, following) = jax.lax.scan(finish, start, by_position)
        pointer, following = (jnp.moveaxis(x, 0, 1) for x in (pointer, following))
        return pointer, jnp.einsum("bls,bsd->bld", following, memory)


def _shift(pointer, copyable):
    """Returns the pointer moved one source token on, [B, S]."""
    moved = jnp.pad(pointer[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(copyable, moved, 0.0)
