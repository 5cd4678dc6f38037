"""The whole network: its parts together, its sizes and its parameter names."""

import functools
import math
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import models, trees

GOLDEN = pathlib.Path(__file__).parent / "golden_tree.txt"
B, S, L, V, D, E = 3, 9, 7, 50, 16, 8
SMALL = dict(
    vocab_size=V,
    width=D,
    embedding_width=E,
    num_heads=3,
    head_width=4,
    mlp_width=20,
    encoder_layers=2,
    denoiser_layers=2,
    decoder_layers=1,
    max_source_length=S,
    max_target_length=L,
)
PAPER = dict(
    vocab_size=32_100,
    width=512,
    embedding_width=512,
    num_heads=8,
    head_width=64,
    mlp_width=2048,
    encoder_layers=6,
    denoiser_layers=10,
    decoder_layers=6,
    max_source_length=128,
    max_target_length=128,
    head=models.HEADS["token"],
    self_conditioning=False,
    share_embedding=False,
    source_positions=False,
    alignment_rounds=0,
)
MODEL = models.CodeFusion(**SMALL)
RNG = np.random.default_rng(0)
SOURCE, TARGET = (jnp.asarray(RNG.integers(5, V, (B, n))) for n in (S, L))
MASK = jnp.arange(S)[None] < jnp.array([S, 4, 6])[:, None]
XT, ESTIMATE = (jnp.asarray(x, jnp.float32) for x in RNG.normal(size=(2, B, L, E)))
T = jnp.array([0.1, 0.5, 0.9])


def shapes_of(fields, *, source_length=S, target_length=L):
    """Returns the parameter shapes of a model; allocates nothing."""
    source = jax.ShapeDtypeStruct((1, source_length), jnp.int32)
    mask = jax.ShapeDtypeStruct((1, source_length), bool)
    target = jax.ShapeDtypeStruct((1, target_length), jnp.int32)
    init = models.CodeFusion(**fields).init
    return jax.eval_shape(init, jax.random.key(0), source, mask, target)["params"]


def listing(params):
    """Returns one line of name and shape for each parameter, in order."""
    named = trees.named_leaves(params)
    return [f"{name} {tuple(leaf.shape)}" for name, leaf in named.items()]


@pytest.fixture(scope="module")
def variables(drawn):
    """Variables of the small model."""
    return drawn(MODEL, SOURCE, MASK, TARGET)


call = jax.jit(MODEL.apply, static_argnames="method")


@jax.jit
def outputs(variables, source, dropped, noise):
    """Returns (x0_hat, hidden, log-probabilities) for a source."""

    def run(model):
        context = model.encode(source, MASK, dropped=dropped, noise=noise)
        x0_hat = model.denoise(XT, T, ESTIMATE, context)
        return x0_hat, *model.decode(x0_hat, context)

    return MODEL.apply(variables, method=run)


NONE = jnp.zeros(B, bool)
DRAW = jnp.asarray(RNG.normal(size=(B, S, D)), jnp.float32)


@pytest.fixture(scope="module")
def out(variables):
    """`outputs` as NumPy arrays, with a full context unless told otherwise."""

    def run(source=SOURCE, dropped=NONE, noised=NONE, draw=DRAW):
        found = outputs(variables, source, dropped, (noised, draw))
        return jax.tree.map(np.asarray, found)

    return run


def rows(tree, keep):
    """Returns some rows of every array."""
    return jax.tree.map(lambda x: x[keep], tree)


def test_padded_source_positions_change_no_output(out):
    changed = jnp.where(MASK, SOURCE, 5 + V // 2)
    assert jnp.any(changed != SOURCE)
    chex.assert_trees_all_equal(out(), out(changed))


def test_real_source_positions_change_every_output(out):
    for before, after in zip(out(), out(SOURCE[:, ::-1]), strict=True):
        assert jnp.all(jnp.max(jnp.abs(before - after), axis=(1, 2)) > 1e-5)


def test_rows_do_not_see_each_other(out):
    changed = SOURCE.at[0].set(SOURCE[0, ::-1])
    chex.assert_trees_all_equal(rows(out(), [1, 2]), rows(out(changed), [1, 2]))


def test_a_dropped_context_tells_nothing_of_the_source(out):
    dropped = jnp.array([True, False, True])
    before, after = (out(s, dropped) for s in (SOURCE, SOURCE[:, ::-1]))
    chex.assert_trees_all_equal(rows(before, [0, 2]), rows(after, [0, 2]))
    chex.assert_trees_all_equal(rows(before, [1]), rows(out(), [1]))
    assert jnp.max(jnp.abs(before[0][0] - out()[0][0])) > 1e-5


def test_a_context_of_noise_tells_nothing_of_the_source(out):
    noised = jnp.array([True, True, False])
    before, after = (out(s, noised=noised) for s in (SOURCE, SOURCE[:, ::-1]))
    chex.assert_trees_all_equal(rows(before, [0, 1]), rows(after, [0, 1]))
    other = out(noised=noised, draw=-DRAW)
    chex.assert_trees_all_equal(rows(before, [2]), rows(other, [2]))
    assert jnp.max(jnp.abs(before[0][:2] - other[0][:2])) > 1e-5


def test_a_context_of_noise_has_no_padding(out):
    noised = jnp.array([False, True, False])
    changed = jnp.where(MASK[..., None], DRAW, -DRAW)
    before, after = (out(noised=noised, draw=draw)[0] for draw in (DRAW, changed))
    assert jnp.max(jnp.abs(before[1] - after[1])) > 1e-5


def test_the_context_is_all_that_denoising_needs_of_the_encoder(variables):
    context = call(variables, SOURCE, MASK, method="encode")
    expected = call(variables, XT, T, ESTIMATE, context, method="denoise")
    kept = {"denoiser": variables["params"]["denoiser"]}
    spent = jax.tree.map(lambda leaf: leaf * jnp.nan, variables["params"])
    found = call({"params": spent | kept}, XT, T, ESTIMATE, context, method="denoise")
    chex.assert_tree_all_finite(found)
    chex.assert_trees_all_equal(found, expected)


def test_denoising_reads_keys_and_values_and_not_the_hidden_context(variables):
    context = call(variables, SOURCE, MASK, method="encode")
    emptied = context._replace(
        hidden=0 * context.hidden,
        decoder=0 * context.decoder,
        source=0 * context.source,
        copyable=jnp.zeros_like(MASK),
    )
    ways = [
        call(variables, XT, T, ESTIMATE, c, method="denoise")
        for c in (context, emptied)
    ]
    chex.assert_trees_all_equal(*ways)


def test_embeddings_have_unit_rms_and_are_rows_of_the_table(variables):
    x0, table = (
        call(variables, TARGET, method="embed"),
        call(variables, method="embedding_table"),
    )
    # The norm's epsilon shows, as the fixture's embeddings are small.
    chex.assert_trees_all_close(jnp.mean(x0**2, -1), jnp.ones((B, L)), atol=1e-3)
    chex.assert_trees_all_close(x0, table[TARGET], atol=1e-6)


def without(*fields):
    """Returns the fields of a small model with some of its parts switched off."""
    return {**SMALL, **dict.fromkeys(fields, False)}


def paths(fields):
    """Returns the names of a model's parameters, a set."""
    return {line.partition(" ")[0] for line in listing(shapes_of(fields))}


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("share_embedding", {"from_embedding/bias", "from_embedding/kernel"}),
        ("source_positions", {"source_positions"}),
        (
            "alignment_rounds",
            {
                f"{name}/cross_attention/alignment/offsets"
                for name in (
                    "decoder/stack/layer_0",
                    "denoiser/stack/layer_0",
                    "denoiser/stack/layer_1",
                )
            },
        ),
    ],
)
def test_a_part_that_is_switched_off_has_no_parameters(field, parts):
    assert paths(SMALL) - paths(without(field)) == parts
    assert paths(without(field)) < paths(SMALL)


@pytest.fixture(scope="module")
def hidden_context(variables):
    """The function from (fields, source, changed parameters) to a context [B, S, D]."""

    def run(fields, source, **changed):
        known = {"params": {**variables["params"], **changed}}
        apply = models.CodeFusion(**fields).apply
        encode = jax.jit(functools.partial(apply, method="encode"))
        return np.asarray(encode(known, source, jnp.ones_like(MASK)).hidden)

    return run


@pytest.mark.parametrize("on", [True, False])
def test_the_encoder_reads_the_diffused_embedding_only_if_shared(
    hidden_context, variables, on
):
    fields = SMALL if on else without("share_embedding")
    other = variables["params"]["embedding"][::-1]
    before, after = (
        hidden_context(fields, SOURCE),
        hidden_context(fields, SOURCE, embedding=other),
    )
    moved = np.max(np.abs(before - after), axis=-1)
    assert np.all(moved > 1e-3) if on else np.all(moved == 0)


@pytest.mark.parametrize("on", [True, False])
def test_equal_tokens_are_told_apart_only_by_source_positions(hidden_context, on):
    # Attention to equal tokens is the same wherever its weights lie.
    fields = SMALL if on else without("source_positions")
    hidden = hidden_context(fields, jnp.full((B, S), 7))
    apart = np.max(np.abs(np.diff(hidden, axis=1)), axis=-1)
    assert np.all(apart > 1e-3) if on else np.all(apart < 1e-4)


def test_a_source_that_is_too_long_is_refused_by_name(variables):
    source = jnp.zeros((B, S + 1), jnp.int32)
    with pytest.raises(ValueError, match=r"10 positions .* data\.source_length 9"):
        call(variables, source, source == 0, method="encode")


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("embed", [TARGET[0]]),
        ("encode", [SOURCE, MASK[:, 1:]]),
        ("encode", [SOURCE[0], MASK[0]]),
        ("denoise", [XT, T[:, None], ESTIMATE]),
        ("denoise", [XT, T, ESTIMATE[:, 1:]]),
        ("denoise", [XT[:1], T[:1], ESTIMATE[:1]]),
        ("denoise", [XT[..., 1:], T, ESTIMATE[..., 1:]]),
        ("decode", [XT[:1]]),
        ("decode", [XT[..., 1:]]),
    ],
)
def test_arrays_of_another_shape_are_refused(variables, method, wrong):
    encode = functools.partial(MODEL.apply, method="encode")
    context = jax.eval_shape(encode, variables, SOURCE, MASK)
    more = [context] if method in ("denoise", "decode") else []
    run = functools.partial(MODEL.apply, method=method)
    with pytest.raises(AssertionError, match="shape|rank"):
        jax.eval_shape(run, variables, *wrong, *more)


@pytest.mark.parametrize(
    "wrong",
    [{"dropped": NONE[1:]}, {"noise": (NONE[1:], DRAW)}, {"noise": (NONE, DRAW[:1])}],
)
def test_what_replaces_a_context_must_fit_it(variables, wrong):
    run = functools.partial(MODEL.apply, method="encode")
    with pytest.raises(AssertionError, match="shape"):
        jax.eval_shape(functools.partial(run, **wrong), variables, SOURCE, MASK)


def test_a_shorter_source_and_target_fit_the_same_parameters(variables):
    _, log_probs = call(variables, SOURCE[:, :4], MASK[:, :4], TARGET[:, :5])
    chex.assert_shape(log_probs, (B, 5, V))
    chex.assert_tree_all_finite(log_probs)


def test_every_parameter_is_learned(variables):
    def loss(params):
        def run(model):
            x0 = model.embed(TARGET)
            dropped = jnp.array([True, False, False])
            context = model.encode(SOURCE, MASK, dropped=dropped)
            hidden, log_probs = model.decode(
                model.denoise(x0, T, ESTIMATE, context), context
            )
            picked = jnp.take_along_axis(log_probs, TARGET[..., None], axis=-1)
            return jnp.sum(jnp.sin(model.read_embedding(hidden))) - picked.mean()

        return MODEL.apply({"params": params}, method=run)

    gradients = jax.jit(jax.grad(loss))(variables["params"])
    chex.assert_tree_all_finite(gradients)
    named = trees.named_leaves(gradients)
    still = {name for name, g in named.items() if not jnp.any(g != 0)}
    assert still == set()


def test_parameter_names_and_shapes_are_those_of_the_golden_tree():
    """A difference is a breaking change: saved parameters would no longer load."""
    scanned = {**SMALL, "scan_layers": True, "head": models.HEADS["token"]}
    lines = [
        "# copy head, unrolled",
        *listing(shapes_of(SMALL)),
        "# token head, scan_layers",
        *listing(shapes_of(scanned)),
    ]
    assert lines == GOLDEN.read_text().splitlines()


def count(params):
    """Returns the number of parameters."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


@functools.cache
def paper_counts():
    """Returns parameters by part at the paper's size; allocates nothing."""
    shapes = shapes_of(PAPER, source_length=128, target_length=128)
    return {name: count(part) for name, part in shapes.items()}


def test_parameters_by_part_at_the_papers_size():
    assert paper_counts() == {
        "embedding": 16_435_200,
        "encoder": 35_316_480,  # CodeT5-small's, from its tensor shapes
        "null_context": 512,
        "denoiser": 37_635_584,
        "denoiser_context": 5_243_392,
        "decoder": 22_358_016,
        "decoder_context": 3_146_240,
        "to_embedding": 262_656,
        "token_head": 16_467_300,
    }


def test_the_papers_size_is_its_layers_and_tables_and_little_else():
    # 22 layers of 8 (in the encoder 4) square matrices and a feed-forward, 3 tables.
    layers = 6 * (4 * 512**2 + 2 * 512 * 2048) + 16 * (8 * 512**2 + 2 * 512 * 2048)
    total = sum(paper_counts().values())
    assert total == pytest.approx(layers + 3 * 32_100 * 512, rel=0.015)
    assert total == pytest.approx(135.3e6, rel=0.015)


def test_scanned_and_unrolled_papers_have_equally_many_parameters():
    scanned = shapes_of(
        {**PAPER, "scan_layers": True}, source_length=128, target_length=128
    )
    assert count(scanned) == sum(paper_counts().values())


def test_half_precision_keeps_float32_parameters_and_outputs():
    half = {**PAPER, "dtype": jnp.bfloat16}
    shapes = shapes_of(half, source_length=128, target_length=128)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    apply = models.CodeFusion(**half).apply
    batch = [jax.ShapeDtypeStruct((2, 128), kind) for kind in ("int32", bool, "int32")]
    decoded, log_probs = jax.eval_shape(apply, {"params": shapes}, *batch)
    chex.assert_shape([decoded, log_probs], [(2, 128, 512), (2, 128, 32_100)])
    assert decoded.dtype == log_probs.dtype == jnp.float32


def test_without_a_decoder_a_token_is_the_nearest_embedding(drawn):
    model = models.CodeFusion(**{**SMALL, "decoder_layers": 0})
    variables = drawn(model, SOURCE, MASK, TARGET)
    assert not {"decoder", "token_head", "to_embedding"} & set(variables["params"])
    run = jax.jit(model.apply, static_argnames="method")
    context = run(variables, SOURCE, MASK, method="encode").repeat(2)
    target = jnp.repeat(TARGET, 2, axis=0)
    x0 = run(variables, target, method="embed")
    hidden, log_probs = run(variables, x0, context, method="decode")
    chex.assert_trees_all_equal(hidden, x0)
    chex.assert_trees_all_equal(jnp.argmax(log_probs, axis=-1), target)
