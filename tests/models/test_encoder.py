"""The encoder: T5's buckets to the digit, and what its output depends on."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion.models import encoder

# Key minus query -> bucket, of T5 with 32 buckets and distances up to 128.
GOLDEN = {
    -200: 15, -128: 15, -64: 14, -20: 10, -16: 10, -9: 8, -8: 8, -7: 7, -1: 1, 0: 0,
    1: 17, 7: 23, 8: 24, 9: 24, 16: 26, 20: 26, 64: 30, 128: 31, 200: 31,
}  # fmt: skip
B, S = 3, 6
MODULE = encoder.Encoder(
    vocab_size=20, width=12, num_layers=2, num_heads=2, head_width=4, mlp_width=16
)
SOURCE = jnp.asarray(np.random.default_rng(0).integers(0, 20, (B, S)))
MASK = jnp.arange(S)[None] < jnp.array([S, 3, 1])[:, None]


@pytest.fixture(scope="module")
def variables(drawn):
    """The encoder's variables."""
    return drawn(MODULE, SOURCE, MASK)


encode = jax.jit(MODULE.apply)


@pytest.mark.parametrize("compiled", [False, True])
def test_buckets_are_those_of_t5(compiled):
    run = functools.partial(encoder.position_buckets, 256)
    buckets = np.asarray(jax.jit(run)() if compiled else run())
    query = {distance: max(-distance, 0) for distance in GOLDEN}
    found = {d: int(buckets[query[d], query[d] + d]) for d in GOLDEN}
    assert found == GOLDEN


def test_buckets_depend_on_distance_alone():
    buckets = encoder.position_buckets(100)
    chex.assert_trees_all_equal(buckets[1:, 1:], buckets[:-1, :-1])


def test_buckets_grow_with_distance_on_either_side():
    row = np.asarray(encoder.position_buckets(301))[150]
    assert (np.diff(row[150::-1]) >= 0).all() and (np.diff(row[151:]) >= 0).all()
    assert row.min() == 0 and row.max() == 31 and len(set(row) - {16}) == 31


@pytest.mark.parametrize(("num_buckets", "max_distance"), [(8, 16), (64, 512)])
def test_every_bucket_is_inside_the_table(num_buckets, max_distance):
    buckets = encoder.position_buckets(
        max_distance + 5, num_buckets=num_buckets, max_distance=max_distance
    )
    assert buckets.min() == 0 and buckets.max() == num_buckets - 1


def test_padded_source_positions_do_not_matter(variables):
    changed = jnp.where(MASK, SOURCE, 19 - SOURCE)
    before, after = (encode(variables, s, MASK) for s in (SOURCE, changed))
    chex.assert_trees_all_equal(before[MASK], after[MASK])
    assert jnp.any(encode(variables, 19 - SOURCE, MASK)[MASK] != before[MASK])


def test_a_row_is_the_same_with_less_padding(variables):
    short = encode(variables, SOURCE[1:2, :3], MASK[1:2, :3])
    full = encode(variables, SOURCE, MASK)[1:2, :3]
    chex.assert_trees_all_close(short, full, atol=1e-5)


def test_the_order_of_tokens_matters(variables):
    before, after = (encode(variables, s, MASK) for s in (SOURCE, SOURCE[:, ::-1]))
    assert jnp.max(jnp.abs(before[0, ::-1] - after[0])) > 1e-3


def test_a_source_without_any_token_gives_finite_numbers(variables):
    chex.assert_tree_all_finite(encode(variables, SOURCE, jnp.zeros_like(MASK)))


def test_remat_recomputes_layers_and_changes_neither_values_nor_gradients(variables):
    def value_and_gradient(*, remat):
        module = MODULE.clone(remat=remat)

        def loss(variables):
            return jnp.sum(jnp.sin(module.apply(variables, SOURCE, MASK)))

        run = jax.value_and_grad(loss)
        return jax.jit(run)(variables), str(jax.make_jaxpr(run)(variables))

    plain, program = value_and_gradient(remat=False)
    remat, recomputing = value_and_gradient(remat=True)
    chex.assert_trees_all_close(plain, remat, rtol=1e-4, atol=1e-5)
    assert "remat" not in program and recomputing.count("remat") >= MODULE.num_layers


def test_half_precision_is_near_single_precision(variables):
    half = MODULE.clone(dtype=jnp.bfloat16).apply(variables, SOURCE, MASK)
    assert half.dtype == jnp.bfloat16
    # bfloat16 keeps 8 bits, and errors add up over the layers.
    chex.assert_trees_all_close(
        half.astype(jnp.float32), encode(variables, SOURCE, MASK), atol=0.1
    )


@pytest.mark.parametrize("remat", [False, True])
def test_scanned_layers_equal_unrolled_ones_with_stacked_parameters(variables, remat):
    params = variables["params"]
    rows = [params[f"layer_{i}"] for i in range(MODULE.num_layers)]
    rest = {k: v for k, v in params.items() if not k.startswith("layer_")}
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    scanned = MODULE.clone(scan_layers=True, remat=remat)
    given = {"params": {**rest, "layers": {"layer": stacked}}}
    found = jax.jit(scanned.apply)(given, SOURCE, MASK)
    expected = encode(variables, SOURCE, MASK)
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-5)
