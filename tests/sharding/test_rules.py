import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from codefusion import models, sharding, trees
from codefusion.training import optimizers, step

P = PartitionSpec


def mesh_of(*sizes):
    return AbstractMesh(sizes, sharding.AXES, axis_types=(AxisType.Auto,) * 3)


@pytest.mark.parametrize(
    ("shape", "logical", "spec"),
    [
        ((8, 6, 4), ("batch", "length", "width"), P(("data", "fsdp"), None, None)),
        ((6, 6, 4), ("batch", "length", "width"), P(None, None, None)),
        (
            (3, 8, 3, 4, 2),
            ("embed", None, "heads", None),
            P(None, "fsdp", None, "tensor", None),
        ),
        ((8, 3, 3, 2), ("embed", None, "heads", None), P("fsdp", None, None, None)),
        ((100, 8), ("vocab", "embed"), P("tensor", "fsdp")),
    ],
)
def test_a_dimension_is_split_where_its_axes_divide_it(shape, logical, spec):
    found = sharding.partition(mesh_of(2, 2, 2), shape, *logical)
    assert tuple(map(_plain, found)) == tuple(map(_plain, spec))


def _plain(entry):
    return (entry,) if isinstance(entry, str) else entry


def model_state(scan_layers):
    model = models.CodeFusion(
        vocab_size=64,
        width=32,
        embedding_width=16,
        num_heads=4,
        head_width=8,
        mlp_width=64,
        encoder_layers=1,
        denoiser_layers=2,
        decoder_layers=1,
        max_source_length=8,
        max_target_length=8,
        scan_layers=scan_layers,
    )
    tokens, mask = jnp.zeros((1, 8), jnp.int32), jnp.ones((1, 8), bool)

    def start():
        params = model.init(jax.random.key(0), tokens, mask, tokens)["params"]
        return step.init_state(params, optimizers.Muon().build(10))

    return jax.eval_shape(start)


@pytest.mark.parametrize("scan_layers", [False, True])
def test_every_matrix_of_the_state_is_split_over_every_axis_it_can_be(scan_layers):
    state = model_state(scan_layers)
    shardings = sharding.state_shardings(state, mesh_of(1, 4, 2))
    by_name = {n: place.spec for n, place in trees.named_leaves(shardings).items()}
    split = {name for name, spec in by_name.items() if any(spec)}
    for name, leaf in zip(by_name, jax.tree.leaves(state), strict=True):
        if leaf.size >= 32 * 32:
            assert name in split, name
    block = "layers/block" if scan_layers else "layer_0"
    name = f"params/denoiser/stack/{block}/self_attention/qkv/dense/kernel"
    moments = [n for n in by_name if n.endswith(name.removeprefix("params/"))]
    assert len(moments) >= 3  # parameter, average, momentum
    assert len({by_name[n] for n in moments}) == 1
    assert _axes(by_name[name]) == {"fsdp", "tensor"}


def _axes(spec):
    return {axis for entry in spec if entry for axis in _plain(entry)}


def test_each_pattern_is_of_some_parameter():
    names = trees.named_leaves(model_state(False).params)
    for pattern, _ in sharding.PARAMETERS:
        assert any(re.search(rf"(^|/)({pattern})$", name) for name in names), pattern


def test_without_a_mesh_nothing_is_constrained():
    x = jnp.ones((4, 3))
    program = jax.make_jaxpr(lambda x: sharding.constrain(x, "batch", "width"))(x)
    assert "sharding_constraint" not in str(program)
    np.testing.assert_array_equal(sharding.constrain_state({"kernel": x})["kernel"], x)


def test_under_a_mesh_it_is():
    x = jnp.ones((4, 3))
    with jax.sharding.use_abstract_mesh(mesh_of(2, 1, 1)):
        program = jax.make_jaxpr(lambda x: sharding.constrain(x, "batch", "width"))(x)
    assert "sharding_constraint" in str(program)
