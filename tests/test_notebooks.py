"""The notebooks: scripts and notebooks in step, and each runs twice from top to bottom.

`make test-notebooks` runs all of them, `make test` the reading of noise in short.
"""

import os
import pathlib
import re
import shutil
import time

import pytest

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")

ROOT = pathlib.Path(__file__).parent.parent
SCRIPTS = sorted(path.name for path in ROOT.glob("colab/*.py"))
# For a notebook as a whole; more on a machine that is busy with other things.
SECONDS = int(os.environ.get("NOTEBOOK_SECONDS", "180"))
SHORT = "01_generate.py"
# What the short run has less of.
LESS = {
    "in model.languages:": "in model.languages[-1:]:",
    "num_draws=3": "num_draws=1, steps=2",
    "\nanswer(STEPS, GUIDANCE, SEED)\n": "\n",
}


def script(name):
    return jupytext.read(ROOT / "colab" / name)


def code(name):
    """Returns the sources of the code cells of a script, list of str."""
    return [c.source for c in script(name).cells if c.cell_type == "code"]


def execute(notebook, folder, *, seconds=SECONDS):
    """Returns the cells of a notebook, executed in a folder."""
    from nbclient import NotebookClient

    end = time.monotonic() + seconds
    client = NotebookClient(
        notebook,
        timeout_func=lambda cell: max(1, int(end - time.monotonic())),
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute().cells


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Returns a folder to run in, with a copy of all that the notebooks read."""
    for name in ("codefusion", "pallas_kernels", "configs", "results"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / "source" / name, ignore=ignored)
    (tmp_path / "run").mkdir()
    found = os.pathsep.join([str(tmp_path / "source"), *_python_path()])
    monkeypatch.setenv("PYTHONPATH", found)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("CODEFUSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CODEFUSION_DATA", raising=False)
    for proxy in ("http_proxy", "https_proxy"):  # whatever asks for a network fails
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    return tmp_path / "run"


def _python_path():
    return [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]


def test_there_are_four():
    assert [name[:2] for name in SCRIPTS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_and_its_notebook_are_in_step(name):
    path = (ROOT / "colab" / name).with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    pairs = [
        [(c.cell_type, c.source) for c in n.cells] for n in (script(name), notebook)
    ]
    assert pairs[0] == pairs[1], "make notebooks brings them in step"
    assert not any(c.get("outputs") for c in notebook.cells)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_notebook_begins_with_its_badge_and_the_same_first_cell(name):
    badge = script(name).cells[0].source
    assert f"/blob/main/colab/{name.removesuffix('.py')}.ipynb" in badge
    assert code(name)[0] == code(SCRIPTS[0])[0]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_cell_compiles(name):
    for number, source in enumerate(code(name)):
        compile(source, f"{name} cell {number}", "exec")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_notebook_never_installs_jax(name):
    assert not re.search(r"install\S* [^\n]*\bjax\b", "\n".join(code(name)))


def test_the_first_notebook_runs_in_short(copied):
    notebook = script(SHORT)
    for old, new in LESS.items():
        (cell,) = [cell for cell in notebook.cells if old in cell.source]
        cell.source = cell.source.replace(old, new)
    cells = execute(notebook, copied, seconds=600)
    shown = [o for c in cells for o in c.get("outputs", []) if "data" in o]
    assert any("<iframe" in o.data.get("text/html", "") for o in shown)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_notebook_runs_and_runs_again(name, copied):
    execute(script(name), copied)
    before = sorted(copied.glob("**/checkpoints/*"))
    cells = execute(script(name), copied)
    assert sorted(copied.glob("**/checkpoints/*")) == before
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert not any("Traceback" in o.get("text", "") for o in outputs)
    assert len(outputs) > 2
