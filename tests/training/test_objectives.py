"""The training loss of a small network: what it depends on, and that it can fall."""

import dataclasses
import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from codefusion import diffusion, models, trees
from codefusion.training.objectives import Likelihood, Objective
from codefusion.types import Batch

ROWS, SOURCE, TARGET, VOCABULARY = 8, 10, 8, 24
PAD, EOS, FIRST_WORD = 0, 3, 5


@dataclasses.dataclass(frozen=True)
class Blend:
    """The loss of eq. (4) or (5), chosen at run time so that one program has both."""

    paper: object

    def __call__(self, prediction):
        first, first_parts = diffusion.TokenLoss()(prediction)
        second, second_parts = diffusion.PaperLoss()(prediction)
        return jnp.where(self.paper, second, first), second_parts | first_parts


def make_batch(seed=0):
    """Returns rows of 4 to 7 source words whose target is the source's reverse."""
    rng = np.random.default_rng(seed)
    source = np.full((ROWS, SOURCE), PAD, np.int32)
    target = np.full((ROWS, TARGET), PAD, np.int32)
    for row in range(ROWS):
        length = 4 + row % 4
        words = rng.integers(FIRST_WORD, VOCABULARY, length)
        source[row, : length + 1] = [*words, EOS]
        target[row, : length + 1] = [*words[::-1], EOS]
    none = np.zeros(ROWS, bool)
    return Batch(source, source != PAD, target, target != PAD, none)


class Toy:
    """A network with dropout and what training does with it, compiled once."""

    def __init__(self, drawn):
        self.model = models.CodeFusion(
            vocab_size=VOCABULARY,
            width=32,
            embedding_width=8,
            num_heads=2,
            head_width=16,
            mlp_width=64,
            encoder_layers=1,
            denoiser_layers=1,
            decoder_layers=1,
            max_source_length=SOURCE,
            max_target_length=TARGET,
            dropout=0.1,
        )
        batch = make_batch()
        self.params = drawn(self.model, *batch[:3])["params"]
        gradient = jax.value_and_grad(self._loss, has_aux=True)
        self._gradient = jax.jit(gradient)
        self._value = jax.jit(self._loss, static_argnames=("conditioning", "shaken"))

    def _loss(self, params, batch, key, drops, paper, conditioning=0.5, shaken=0.0):
        objective = Objective(
            model=self.model,
            process=diffusion.GaussianProcess(diffusion.SqrtSchedule(), 0.5),
            times=diffusion.StratifiedTimes(),
            loss=Blend(paper),
            context_dropout=drops,
            self_conditioning=conditioning,
            estimate_noise=shaken,
        )
        return objective(params, batch, key)

    def __call__(self, batch, *, seed=0, params=None, drops=0.0, paper=False):
        """Returns the loss, its parts and the gradient."""
        params = self.params if params is None else params
        key = jax.random.key(seed)
        (loss, parts), grads = self._gradient(params, batch, key, drops, paper)
        return float(loss), jax.device_get(parts), grads

    def loss(self, batch, *, seed, **settings):
        """Returns the loss for a probability of self-conditioning, and its noise."""
        key = jax.random.key(seed)
        run = functools.partial(self._value, **settings)
        return float(run(self.params, batch, key, 0.0, False)[0])


@pytest.fixture(scope="module")
def toy(drawn):
    return Toy(drawn)


def same(first, second):
    """Returns whether two results agree to the bit, gradients included."""
    leaves = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


def test_the_loss_and_its_gradient_are_a_function_of_params_batch_and_key(toy):
    batch = make_batch()
    once = toy(batch, drops=0.5)
    toy(make_batch(1), seed=1, drops=0.5)
    assert same(once, toy(batch, drops=0.5))
    assert once[0] != toy(batch, seed=1, drops=0.5)[0]
    assert once[0] != toy(make_batch(1), drops=0.5)[0]
    moved = jax.tree.map(lambda leaf: leaf * 1.01, toy.params)
    assert once[0] != toy(batch, params=moved, drops=0.5)[0]


def test_every_part_of_both_losses_is_finite_and_the_tokens_loss_is_their_sum(toy):
    loss, parts, _ = toy(make_batch())
    assert all(np.isfinite(value) and value > 0 for value in parts.values())
    np.testing.assert_allclose(loss, parts["x0_mse"] + parts["cross_entropy"], 1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_a_padded_source_position_changes_no_loss(toy, seed):
    batch = make_batch()
    junk = np.random.default_rng(seed).integers(FIRST_WORD, VOCABULARY, (ROWS, SOURCE))
    source = np.where(batch.source_mask, batch.source, junk).astype(np.int32)
    assert (source != batch.source).any()
    loss, parts, _ = toy(batch, seed=seed, drops=0.3)
    changed, changed_parts, _ = toy(batch._replace(source=source), seed=seed, drops=0.3)
    assert loss == changed and same(parts, changed_parts)


def test_a_real_source_position_changes_the_loss(toy):
    batch = make_batch()
    source = batch.source.copy()
    source[0, 0] = FIRST_WORD + (source[0, 0] == FIRST_WORD)
    assert toy(batch)[0] != toy(batch._replace(source=source))[0]


def other_source(batch, rows):
    """Returns the batch with another request, of another length, in some rows."""
    source = batch.source.copy()
    source[rows] = [*np.arange(FIRST_WORD, FIRST_WORD + SOURCE - 1), EOS]
    return batch._replace(source=source, source_mask=source != PAD)


def test_unsupervised_rows_ignore_the_source(toy):
    rows = np.arange(ROWS) % 2 == 0
    batch = make_batch()._replace(unsupervised=rows)
    for seed in range(3):
        assert toy(batch, seed=seed)[0] == toy(other_source(batch, rows), seed=seed)[0]
    assert toy(batch)[0] != toy(other_source(batch, ~rows))[0]


def test_a_dropped_context_tells_nothing_of_the_words_of_the_source(toy):
    batch = make_batch()
    words = np.where(batch.source >= FIRST_WORD, batch.source[:, :1], batch.source)
    changed = batch._replace(source=words.astype(np.int32))
    assert toy(batch, drops=1.0)[0] == toy(changed, drops=1.0)[0]
    assert toy(batch)[0] != toy(changed)[0]


def untouched(grads):
    """Returns the parameters whose gradient is zero throughout."""
    named = trees.named_leaves(grads)
    return {name for name, leaf in named.items() if not np.any(leaf)}


def trained_over_keys(toy, **options):
    """Returns the gradients' sizes summed over keys: self-conditioned and not."""
    found = [toy(make_batch(), seed=seed, **options)[2] for seed in range(4)]
    return jax.tree.map(lambda *leaves: sum(jnp.abs(leaf) for leaf in leaves), *found)


def test_the_gradient_reaches_every_parameter_of_the_papers_loss(toy):
    assert untouched(trained_over_keys(toy, drops=0.5, paper=True)) == set()


def test_the_tokens_loss_leaves_only_the_map_back_to_embeddings(toy):
    grads = trained_over_keys(toy, drops=0.5)
    assert untouched(grads) == {"to_embedding/bias", "to_embedding/kernel"}


def test_without_drops_the_empty_context_is_not_trained(toy):
    grads = trained_over_keys(toy, paper=True)
    assert untouched(grads) == {"null_context"}


def test_self_conditioning_is_drawn_for_the_whole_batch_and_changes_the_loss(toy):
    batch, drawn = make_batch(), set()
    for seed in range(8):
        either = toy(batch, seed=seed)[0]
        without, with_estimate = (
            toy.loss(batch, seed=seed, conditioning=rate) for rate in (0.0, 1.0)
        )
        assert without != with_estimate
        assert min(abs(either - without), abs(either - with_estimate)) < 1e-6
        drawn.add(abs(either - without) < abs(either - with_estimate))
    assert drawn == {False, True}


def test_noise_is_on_the_estimate_alone_and_grows_with_its_deviation(toy):
    batch = make_batch()

    def loss(**settings):
        return toy.loss(batch, seed=0, **settings)

    assert loss(conditioning=0.0, shaken=1.0) == loss(conditioning=0.0)
    plain = loss(conditioning=1.0)
    little, much = (loss(conditioning=1.0, shaken=size) for size in (1e-3, 1.0))
    assert 0.0 < abs(little - plain) < 0.1 * abs(much - plain)


def test_every_word_of_a_target_gets_a_gradient_and_no_other_embedding_does(toy):
    batch = make_batch()
    for column in (batch.target, batch.source):
        column[column == VOCABULARY - 1] = FIRST_WORD
    grads = toy(batch)[2]["embedding"]
    used = np.unique(batch.target)
    touched = np.flatnonzero(np.abs(grads).sum(-1))
    np.testing.assert_array_equal(touched, used)


def test_a_tiny_network_overfits_one_batch(toy):
    batch, optimizer = make_batch(), optax.adam(1e-2)
    params, state = toy.params, optimizer.init(toy.params)
    update = jax.jit(optimizer.update)
    losses = []
    for step in range(200):
        loss, _, grads = toy(batch, seed=step, params=params)
        updates, state = update(grads, state)
        params = jax.tree.map(jnp.add, params, updates)
        losses.append(loss)
    assert np.mean(losses[-20:]) < 0.3 * losses[0]


def test_the_rounding_loss_reads_embeddings_and_teaches_the_denoiser_no_tokens(toy):
    batch = make_batch()
    objective = Objective(
        model=dataclasses.replace(toy.model, decoder_layers=0, dropout=0.0),
        process=diffusion.GaussianProcess(diffusion.SqrtSchedule(), 0.5),
        times=diffusion.StratifiedTimes(),
        loss=diffusion.LOSSES["rounding"](),
        context_dropout=0.0,
        self_conditioning=0.0,
    )

    def tokens(params):
        return objective(params, batch, jax.random.key(0))[1]["cross_entropy"]

    grads = jax.jit(jax.grad(tokens))(toy.params)
    assert not jnp.any(jax.flatten_util.ravel_pytree(grads["denoiser"])[0])
    assert jnp.any(grads["embedding"])


def test_the_likelihood_is_the_mean_cross_entropy_of_real_tokens(toy, drawn):
    fields = ("vocab_size", "width", "embedding_width", "num_heads", "head_width")
    fields += ("mlp_width", "encoder_layers", "decoder_layers")
    fields += ("max_source_length", "max_target_length")
    model = models.Autoregressive(**{f: getattr(toy.model, f) for f in fields})
    batch = make_batch()
    masked = batch._replace(unsupervised=np.arange(ROWS) % 2 == 0)
    params = drawn(model, *masked[:3])["params"]
    loss = jax.jit(Likelihood(model))

    def mean(given):
        return loss(params, given, jax.random.key(0))[0]

    def written(model):
        context = model.encode(batch.source, batch.source_mask)
        return model.write(batch.target, context)[1]

    log_probs = jax.jit(lambda p: model.apply({"params": p}, method=written))(params)
    picked = jnp.take_along_axis(log_probs, batch.target[..., None], -1)[..., 0]
    expected = -picked[batch.target_mask].mean()
    np.testing.assert_allclose(mean(batch), expected, rtol=1e-5)
    # A row without a context is another matter, whatever its source.
    junk = np.where(masked.unsupervised[:, None], FIRST_WORD, batch.source)
    assert mean(masked) == mean(masked._replace(source=junk)) != mean(batch)
