"""The floor multiplies what the product multiplies; no time is asserted."""

import importlib.util
import json
import math
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "floor.py"


@pytest.fixture(scope="module")
def floor():
    spec = importlib.util.spec_from_file_location("floor", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.product_params = zeros  # products are as many for any numbers
    return module


def zeros(model, batch):
    """Returns parameters without compiling what draws them."""
    args = batch.source, batch.source_mask, batch.target
    shapes = jax.eval_shape(model.init, jax.random.key(0), *args)["params"]
    return jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), shapes)


def jaxprs_of(value):
    """Yields the jaxprs in an equation's parameter."""
    for item in value if isinstance(value, tuple | list) else [value]:
        item = getattr(item, "jaxpr", item)
        if hasattr(item, "eqns"):
            yield item


def multiplications(jaxpr):
    """Returns the products of numbers in all matmuls of a jaxpr."""
    total = 0
    for eqn in jaxpr.eqns:
        for value in eqn.params.values():
            total += sum(multiplications(inner) for inner in jaxprs_of(value))
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            left = eqn.invars[0].aval.shape
            depth = math.prod(left[i] for i in contracted)
            total += math.prod(eqn.outvars[0].aval.shape) * depth
    return total


def count(function, *args):
    return multiplications(jax.make_jaxpr(function)(*args).jaxpr)


def test_a_count_of_multiplications_enters_jitted_functions():
    inner = jax.jit(lambda a, b: a @ b)
    assert count(lambda a, b: 2 * inner(a, b), np.ones((3, 4)), np.ones((4, 5))) == 60


@pytest.mark.parametrize("batch", [1, 3])
def test_a_denoising_step_multiplies_as_often_as_its_floor(floor, batch):
    shape = floor.Shape(batch, **floor.TOY)
    ours = count(floor.make_product_denoise(shape))
    assert ours == count(floor.make_floor_denoise(shape)) > 0


def test_a_gradient_multiplies_as_often_as_its_floor(floor):
    shape = floor.Shape(2, **floor.TOY)
    model, batch = floor.product_model(shape), floor.product_batch(shape)
    gradient = jax.grad(floor.product_objective(model), has_aux=True)
    params = floor.product_params(model, batch)
    ours = count(lambda p: gradient(p, batch, jax.random.key(0)), params)
    args = floor.floor_train_arguments(shape)
    assert ours == count(lambda *args: floor.floor_gradient(*args, shape), *args) > 0


def test_numbers_neither_grow_nor_vanish_on_the_floor(floor):
    shape = floor.Shape(2, **floor.TOY)
    for output in floor.make_floor_denoise(shape)():
        np.testing.assert_array_equal(output, np.ones(output.shape))
    weights, source, target, features, _ = floor.floor_train_arguments(shape)
    for output in floor.floor_forward(weights, source, target, features, shape):
        np.testing.assert_array_equal(output, np.ones(output.shape))


def test_a_comparison_calls_both_in_turn(floor):
    calls = []
    result = floor.compare(
        lambda: calls.append("a"), lambda: calls.append("b"), rounds=3, calls=2
    )
    assert "".join(calls) == "ab" + 3 * "aabb"
    assert result["lowest"] <= result["ratio"] <= result["highest"]


@pytest.mark.slow
def test_the_script_prints_a_line_per_step():
    names = ["denoise-1", "denoise-8", "train-8"]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.floor",
            "--toy",
            "--rounds",
            "2",
            "--steps",
            *names,
        ],
        check=True,
        capture_output=True,
        cwd=ROOT,
        text=True,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line["step"] for line in lines] == names
    assert all(line["ratio"] > 0 and line["rounds"] == 2 for line in lines)
