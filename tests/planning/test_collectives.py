"""What a compiled program sends, against what its sharding must send.

`stored/` has the texts of one program as the compilers wrote them, less metadata: six
scanned layers of two weights [512, 2048], rows [4096, 512] in bfloat16, gradients in
float32, on v5e:2x4, on two slices of v5e:4x4 and on eight H100s.
"""

import collections
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codefusion.planning import chips, collectives, hlo
from pallas_kernels import deviceless

STORED = pathlib.Path(__file__).parent / "stored"
LAYERS, WIDTH, HIDDEN, ROWS, BF16 = 6, 512, 2048, 4096, 2
MESHES = {
    "v5e": dict(data=1, fsdp=4, tensor=2),
    "multislice": dict(data=2, fsdp=16, tensor=1),
    "gpu": dict(data=2, fsdp=2, tensor=2),
}


def totals(text, mesh_shape):
    return collectives.by_kind(collectives.find(hlo.parse(text), mesh_shape))


def stored(name):
    return totals((STORED / f"{name}.txt").read_text(), MESHES[name])


def bytes_of(found, kind, axes):
    return found[kind, axes][1]


def layer_bytes(mesh_shape):
    """Returns the bytes of a weight gathered over fsdp, and of a device's rows."""
    weight = WIDTH * HIDDEN // mesh_shape["tensor"] * BF16
    rows = ROWS // (mesh_shape["data"] * mesh_shape["fsdp"]) * WIDTH * BF16
    return weight, rows


def reduced(found, mesh_axis):
    """Returns the bytes summed over an axis, whichever form the compiler chose."""
    kinds = ("all-reduce", "reduce-scatter")
    return sum(
        found[kind, (mesh_axis,)][1] for kind in kinds if (kind, (mesh_axis,)) in found
    )


@pytest.mark.parametrize("name", MESHES)
def test_weights_are_gathered_forward_and_backward_and_gradients_summed(name):
    found, (weight, _) = stored(name), layer_bytes(MESHES[name])
    assert bytes_of(found, "all-gather", ("fsdp",)) == 2 * 2 * LAYERS * weight
    assert reduced(found, "fsdp") == 2 * LAYERS * weight


@pytest.mark.parametrize("name", ["v5e", "gpu"])
def test_parts_of_a_layer_sum_their_rows_forward_and_backward(name):
    found, (_, rows) = stored(name), layer_bytes(MESHES[name])
    assert found["all-reduce", ("tensor",)][:2] == (2 * LAYERS, 2 * LAYERS * rows)


def test_what_is_sent_follows_the_ring():
    found = stored("v5e")
    _, payload, sent = found["all-gather", ("fsdp",)]
    assert sent == payload * 3 / 4
    _, payload, sent = found["reduce-scatter", ("fsdp",)]
    assert sent == payload * 3 / 4
    _, payload, sent = found["all-reduce", ("tensor",)]
    assert sent == 2 * payload * 1 / 2


def test_only_gradients_cross_the_slices():
    found, (weight, _) = stored("multislice"), layer_bytes(MESHES["multislice"])
    across = {key: value for key, value in found.items() if "network" in key[1]}
    assert set(across) == {("all-reduce", ("network",))}
    # A device sends its sixteenth of every gradient.
    assert bytes_of(across, "all-reduce", ("network",)) == 2 * LAYERS * weight / 16


def test_copies_sum_their_gradients_over_data():
    found, (weight, _) = stored("gpu"), layer_bytes(MESHES["gpu"])
    # After the scatter over fsdp: half of each.
    assert bytes_of(found, "all-reduce", ("data",)) == 2 * LAYERS * weight / 2


PROGRAM = """HloModule m

%add (a: f32[], b: f32[]) -> f32[] {{
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}}

ENTRY %main (x: f32[8,16]) -> f32[8,16] {{
  %x = f32[8,16]{{1,0:T(8,128)}} parameter(0)
  ROOT %y = f32[8,16]{{1,0:T(8,128)}} {0}(%x), channel_id=1, {1}, to_apply=%add
}}
"""
MESH = dict(data=2, fsdp=2, tensor=2)


@pytest.mark.parametrize(
    ("groups", "axes", "group"),
    [
        ("replica_groups={{0,1},{2,3},{4,5},{6,7}}", ("tensor",), (0, 1)),
        ("replica_groups={{0,2},{1,3},{4,6},{5,7}}", ("fsdp",), (0, 2)),
        ("replica_groups=[2,4]<=[8]", ("fsdp", "tensor"), (0, 1, 2, 3)),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", ("data",), (0, 4)),
        ("replica_groups=[4,2]<=[2,2,2]T(2,0,1)", ("fsdp",), (0, 2)),
        ("replica_groups=mesh['a'=4,'b'=2] {'a'}", ("data", "fsdp"), (0, 2, 4, 6)),
        ("replica_groups=mesh['a'=4,'b'=2] {'b'}", ("tensor",), (0, 1)),
        ("replica_groups=mesh['a'=8] {'a':(1)2}", ("data",), (0, 4)),
        ("replica_groups=mesh['a'=8] {'a':(2)2}", ("fsdp",), (0, 2)),
        (
            "replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'a'}",
            ("tensor",),
            (0, 1),
        ),
        ("replica_groups={}", ("data", "fsdp", "tensor"), tuple(range(8))),
        ("source_target_pairs={{0,1},{1,0},{2,3},{3,2}}", ("tensor",), (0, 1)),
    ],
)
def test_every_form_of_groups_names_its_axes(groups, axes, group):
    program = hlo.parse(PROGRAM.format("all-reduce", groups))
    (found,) = collectives.find(program, MESH)
    assert (found.axes, found.group) == (axes, group)


def test_groups_in_an_unknown_form_are_refused():
    program = hlo.parse(PROGRAM.format("all-reduce", "replica_groups=?"))
    with pytest.raises(ValueError, match="groups of a collective"):
        collectives.find(program, MESH)


@pytest.mark.parametrize(
    ("kind", "payload", "sent"),
    [
        ("all-gather", 4 * 512, 3 * 512),
        ("all-reduce", 512, 2 * 512 * 3 / 4),
        ("reduce-scatter", 512, 512 * 3 / 4),
        ("all-to-all", 512, 512 * 3 / 4),
        ("collective-permute", 512, 512),
    ],
)
@pytest.mark.parametrize("form", ["", "-start"])
def test_each_kind_has_its_bytes(kind, payload, sent, form):
    program = hlo.parse(PROGRAM.format(kind + form, "replica_groups=[2,4]<=[8]"))
    (found,) = collectives.find(program, MESH)
    assert (found.kind, found.payload, found.sent) == (kind, payload, sent)


def toy_step(mesh, params, rows):
    """One step of gradient descent on scanned layers of two weights."""

    def constrain(x, *spec):
        place = NamedSharding(mesh, PartitionSpec(("data", "fsdp"), *spec))
        return jax.lax.with_sharding_constraint(x, place)

    def layer(x, weights):
        up, down = (w.astype(jnp.bfloat16) for w in weights)
        hidden = constrain(jnp.maximum(x @ up, 0), "tensor")
        return constrain(x + hidden @ down), None

    def loss(params):
        out = jax.lax.scan(layer, rows, params)[0]
        return jnp.sum(jnp.square(out.astype(jnp.float32)))

    return jax.tree.map(jnp.subtract, params, jax.grad(loss)(params))


def compiled_toy(topology, mesh_shape):
    devices = np.array(chips.parse(topology).devices())
    mesh = Mesh(devices.reshape(tuple(mesh_shape.values())), tuple(mesh_shape))

    def shape(dims, dtype, *spec):
        place = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.ShapeDtypeStruct(dims, dtype, sharding=place)

    up = shape((LAYERS, WIDTH, HIDDEN), jnp.float32, None, "fsdp", "tensor")
    down = shape((LAYERS, HIDDEN, WIDTH), jnp.float32, None, "tensor", "fsdp")
    rows = shape((ROWS, WIDTH), jnp.bfloat16, ("data", "fsdp"))
    step = jax.jit(
        functools.partial(toy_step, mesh),
        donate_argnums=0,
        out_shardings=(up.sharding, down.sharding),
    )
    return step.lower((up, down), rows).compile().as_text()


@pytest.mark.tpu_compile
@pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed")
@pytest.mark.parametrize("topology", ["v5e:2x4", "v6e:2x4", "v4:2x2x2", "tpu7x:2x2x1"])
def test_the_compiler_of_each_generation_is_understood(topology):
    mesh_shape = MESHES["v5e"]
    found = totals(compiled_toy(topology, mesh_shape), mesh_shape)
    weight, rows = layer_bytes(mesh_shape)
    gathered = bytes_of(found, "all-gather", ("fsdp",))
    # A compiler may keep a gathered weight from the forward pass.
    assert 2 * LAYERS * weight <= gathered <= 4 * LAYERS * weight
    assert reduced(found, "fsdp") == 2 * LAYERS * weight
    assert reduced(found, "tensor") == 2 * LAYERS * rows


@pytest.mark.gpu_compile
@pytest.mark.skipif(not deviceless.is_gpu_available(), reason="no CUDA plugin")
def test_the_compiler_of_gpus_is_understood():
    found = totals(compiled_toy("gpu:8", MESHES["gpu"]), MESHES["gpu"])
    weight, _ = layer_bytes(MESHES["gpu"])
    assert bytes_of(found, "all-gather", ("fsdp",)) == 4 * LAYERS * weight
    assert bytes_of(found, "all-reduce", ("data",)) == 2 * LAYERS * weight / 2


def test_every_collective_of_a_text_is_found_once():
    text = (STORED / "v5e.txt").read_text()
    found = collectives.find(hlo.parse(text), MESHES["v5e"])
    kinds = collections.Counter(x.kind for x in found)
    # One loop forward: two gathers and a sum of rows; one back: two gathers, a sum of
    # rows, and the gradients, of which one is scattered.
    assert kinds == {"all-gather": 4, "all-reduce": 3, "reduce-scatter": 1}
    assert {x.runs for x in found} == {LAYERS}
