"""Every config file builds, and says on top how to run it and what to expect."""

import argparse
import ast
import functools
import inspect
import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

from codefusion import assemble, config, diffusion, main, ranking, types
from codefusion.commands import sweep, table
from codefusion.training import optimizers, step
from experiments import runs

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/**/*.py")
)
TABLES = [name for name in FILES if name.startswith("configs/tables/")]
SINGLE = [name for name in FILES if name not in TABLES]


def docstring(name):
    return ast.get_docstring(ast.parse((ROOT / name).read_text())) or ""


def namespace(name):
    """Returns what a config file defines."""
    found = {}
    exec(compile((ROOT / name).read_text(), name, "exec"), found)
    return found


def arguments(name):
    """Returns what may follow the colon; "" for nothing where that is all."""
    return namespace(name).get("FORMS", ("",))


def load(name, argument=""):
    word = f"--config={ROOT / name}" + (f":{argument}" if argument else "")
    return main.parse("doctor", [word]).config


CASES = [(name, argument) for name in SINGLE for argument in arguments(name)]


def test_there_are_configs():
    assert {"configs/quickstart.py", "configs/tiny.py"} <= set(FILES)


def traced_step(checked):
    """Returns the shapes of the state before and after a step of the last stage."""
    built = assemble.parts(checked, checked.tokenizer.vocab_size)
    section = checked.training
    optimizer = config.build(optimizers.OPTIMIZERS, section.optimizer).build(10)
    objective = assemble.objective(checked, "training", built)
    size = section.batch_size
    source = jax.ShapeDtypeStruct((size, checked.data.source_length), jnp.int32)
    target = jax.ShapeDtypeStruct((size, checked.data.target_length), jnp.int32)
    mask = functools.partial(jax.ShapeDtypeStruct, dtype=bool)
    batch = types.Batch(
        source, mask(source.shape), target, mask(target.shape), mask((size,))
    )

    def start():
        return step.init_state(assemble.init_params(checked, built.model), optimizer)

    run = step.make_train_step(objective, optimizer, ema_decay=section.ema_decay)
    before = jax.eval_shape(start)
    return before, jax.eval_shape(run, before, batch, jax.random.key(0))[0]


# Forms that differ in training from those of configs/cf_rules.py by a width at most.
ALIKE = ("released", "autoregressive", "diffusion_lm", "genie")


def traced(name, argument):
    is_alike = argument in ALIKE and name != "configs/cf_rules.py"
    return pytest.param(name, argument, marks=[pytest.mark.slow] * is_alike)


@pytest.mark.parametrize(("name", "argument"), [traced(*case) for case in CASES])
def test_a_config_checks_and_its_training_step_keeps_every_shape(name, argument):
    before, after = traced_step(assemble.check(load(name, argument)))
    assert sum(leaf.size for leaf in jax.tree.leaves(before.params)) > 1000
    assert jax.tree.map(shape_of, before) == jax.tree.map(shape_of, after)


def shape_of(leaf):
    return leaf.shape, leaf.dtype


@pytest.mark.parametrize("run", sorted(runs.RUNS))
def test_every_run_of_the_recipe_checks_and_differs_from_the_quickstart_in_its_keys(
    run,
):
    checked = assemble.check(runs.get_config(run))
    changed = config.diff(runs.get_config("quickstart"), checked)
    for key in runs.RUNS[run]:
        assert any(path.startswith(key) for path in changed), key
    assert bool(changed) == bool(runs.RUNS[run])


@pytest.mark.parametrize("name", ["cf_rules", "conala", "nl2bash", "shipped"])
def test_a_form_that_there_is_not_is_an_error(name):
    with pytest.raises(ValueError, match="the form is 'larg'; expected one of"):
        namespace(f"configs/{name}.py")["get_config"]("larg")


@pytest.mark.parametrize("name", SINGLE)
def test_a_config_opens_with_its_command(name):
    text = docstring(name)
    assert re.search(rf"codefusion train --config={re.escape(name)}", text)
    assert len(text.splitlines()) > 2


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_checks(name):
    assert f"codefusion table --config={name}" in docstring(name)
    swept = sweep.read(str(ROOT / name)).runs
    assert swept
    rows = {run.name.removesuffix(f"_seed{run.seed}"): run for run in swept}
    for run in rows.values():
        run = run._replace(file=str(ROOT / run.file))
        assert table.config_of(run, argparse.Namespace(data_dir=None)).data.name


def test_a_run_is_the_same_in_all_tables():
    found = {}
    for name in TABLES:
        for run in sweep.read(str(ROOT / name)).runs:
            what = (run.file, run.changes, run.trained.name)
            assert found.setdefault(run.name, what) == what, run.name


def test_the_tables_have_every_ranking_and_sampler():
    rankings = namespace("configs/tables/rankings.py")["RANKINGS"]
    samplers = namespace("configs/tables/steps.py")["SAMPLERS"]
    assert set(rankings) == set(ranking.RANKINGS)
    assert set(samplers) == set(diffusion.SAMPLERS)


@pytest.mark.parametrize("name", FILES)
def test_a_config_defines_get_config_without_needing_an_argument(name):
    parameters = inspect.signature(namespace(name)["get_config"]).parameters.values()
    assert all(p.default is not inspect.Parameter.empty for p in parameters)


@pytest.mark.parametrize("form", ["diffusion_lm", "genie"])
@pytest.mark.parametrize("name", ["cf_rules", "nl2bash", "conala"])
def test_a_form_without_decoder_takes_nearest_tokens_whatever_its_config_draws(
    name, form
):
    inference = load(f"configs/{name}.py", form).inference
    assert inference.token_temperature == 0.0
    assert inference.num_repairs == inference.num_beams == 0
    assert inference.ranking.to_dict() == {"name": "covering"}
