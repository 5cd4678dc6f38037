"""Every config file builds, and says on top how to run it and what to expect."""

import ast
import inspect
import pathlib
import re

import jax
import pytest

from codefusion import assemble, config, main

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/**/*.py")
)
TABLES = [name for name in FILES if name.startswith("configs/tables/")]
SINGLE = [name for name in FILES if name not in TABLES]


def docstring(name):
    return ast.get_docstring(ast.parse((ROOT / name).read_text())) or ""


def arguments(name):
    """Returns what may follow the colon: what the docstring's commands use, and ""."""
    return sorted({"", *re.findall(rf"{re.escape(name)}:(\w+)", docstring(name))})


def load(name, argument=""):
    word = f"--config={ROOT / name}" + (f":{argument}" if argument else "")
    return main.parse("doctor", [word]).config


CASES = [(name, argument) for name in SINGLE for argument in arguments(name)]


def test_there_are_configs():
    assert {"configs/quickstart.py", "configs/tiny.py"} <= set(FILES)


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_a_config_checks_and_its_model_has_shapes(name, argument):
    checked = assemble.check(load(name, argument))
    built = assemble.parts(checked, checked.tokenizer.vocab_size)
    params = jax.eval_shape(lambda: assemble.init_params(checked, built.model))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) > 1000


@pytest.mark.parametrize("name", SINGLE)
def test_a_config_opens_with_its_command(name):
    text = docstring(name)
    assert re.search(rf"codefusion train --config={re.escape(name)}", text)
    assert len(text.splitlines()) > 2


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_checks(name):
    text = docstring(name)
    assert f"codefusion table --config={name}" in text
    assert config.base().keys() == load(name).keys()


@pytest.mark.parametrize("name", FILES)
def test_a_config_defines_get_config_without_needing_an_argument(name):
    namespace = {}
    exec(compile((ROOT / name).read_text(), name, "exec"), namespace)
    parameters = inspect.signature(namespace["get_config"]).parameters.values()
    assert all(p.default is not inspect.Parameter.empty for p in parameters)
