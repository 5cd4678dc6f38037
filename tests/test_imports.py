"""Imports point down: a module imports from lower ranks or from its own package."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

RANKS = {
    "types": 0,
    "checks": 0,
    "config": 0,
    "comparisons": 0,
    "files": 0,
    "markdown": 0,
    "shipped": 0,
    "trees": 0,
    "pallas_kernels": 0,
    "ranking": 1,
    "diffusion": 1,
    "data": 1,
    "hosts": 1,
    "sharding": 1,
    "decoding": 2,
    "models": 2,
    "checkpoints": 2,
    "drawing": 4,
    "search": 3,
    "training": 3,
    "consistency": 4,
    "assemble": 4,
    "planning": 5,
    "workdirs": 5,
    "inference": 6,
    "evaluation": 7,
    "rl": 8,
    "analysis": 8,
    "serving": 8,
    "commands": 9,
    "main": 9,
}
# Two files of one room: the config and its checks, assembling and its
# checks, the dispatch and its commands.
ONE_ROOM = ({"config", "checks"}, {"assemble", "consistency"}, {"main", "commands"})

# Outside library -> the only packages that import it.
OWNERS = {
    "ml_collections": {"config", "checks", "main"},
    "tensorflow_datasets": {"data"},
    "grain": {"data"},
    "scipy": {"data"},
    "sentencepiece": {"data"},
    "array_record": {"data"},
    "flax": {"models"},
    "orbax": {"checkpoints"},
    "optax": {"training"},
    "absl": {"main", "commands"},
}
NEVER = {"tensorflow", "torch", "clu", "bashlex", "codebleu", "transformers"}


def modules():
    """Returns (file, package) of every module that has a rank; an export has none."""
    files = [*ROOT.glob("codefusion/**/*.py"), *ROOT.glob("pallas_kernels/**/*.py")]
    lazy = {ROOT / "codefusion" / name for name in ("__init__.py", "__main__.py")}
    found = [(file, package_of(file)) for file in files if file not in lazy]
    return [(file, package) for file, package in found if package != "weights"]


def package_of(file):
    """Returns the package of a file: its folder in codefusion, or its own name."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "codefusion" else parts[0]


def imported(file):
    """Returns every dotted name that a file imports, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        assert not (isinstance(node, ast.ImportFrom) and node.level), file
    return names


def own_packages(names):
    """Returns the packages of ours among dotted names."""
    kernels = {"pallas_kernels" for n in names if n.split(".")[0] == "pallas_kernels"}
    ours = [n.split(".") for n in names if n.split(".")[0] == "codefusion"]
    return kernels | {parts[1] for parts in ours if len(parts) > 1}


def wrong_imports(package, others):
    """Returns the packages among others that a package must not import."""
    room = {package}.union(*(r for r in ONE_ROOM if package in r))
    return {o for o in others if o not in room and RANKS[o] >= RANKS[package]}


def test_every_package_has_a_rank():
    assert {package for _, package in modules()} <= set(RANKS)


@pytest.mark.parametrize(
    ("package", "others", "wrong"),
    [
        ("models", {"diffusion", "types", "models"}, set()),
        ("models", {"checkpoints"}, {"checkpoints"}),
        ("training", {"evaluation"}, {"evaluation"}),
        ("config", {"checks"}, set()),
        ("types", {"config"}, {"config"}),
    ],
)
def test_the_rank_rule_tells_right_from_wrong(package, others, wrong):
    assert wrong_imports(package, others) == wrong


def test_imports_point_down():
    found = {
        f"{file.relative_to(ROOT)} imports {wrong}"
        for file, package in modules()
        if (wrong := wrong_imports(package, own_packages(imported(file))))
    }
    assert found == set()


def test_outside_libraries_stay_with_their_package():
    found = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file, package in modules()
        for name in {n.split(".")[0] for n in imported(file)}
        if name in NEVER or package not in OWNERS.get(name, {package})
    ]
    assert found == []


def test_diffusion_is_plain_jax():
    for file in ROOT.glob("codefusion/diffusion/*.py"):
        outside = {n.split(".")[0] for n in imported(file)} - {"codefusion"}
        assert outside <= {"jax", "chex", "numpy", *sys.stdlib_module_names}, file


def test_configs_import_the_config_and_its_comparisons_alone():
    allowed = {"codefusion.config", "codefusion.comparisons"}
    for file in ROOT.glob("configs/**/*.py"):
        names = {n for n in imported(file) if n.split(".")[0] == "codefusion"}
        assert names <= allowed, file


def test_importing_the_package_is_light_and_brings_neither_tensorflow_nor_torch():
    script = (
        "import time; start = time.perf_counter(); import codefusion, sys;"
        "assert not {'tensorflow', 'torch'} & set(sys.modules);"
        "heavy = {'tensorflow_datasets', 'grain', 'orbax', 'flax'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "assert time.perf_counter() - start < 3"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_the_whole_program_imports_neither_tensorflow_nor_torch():
    script = (
        "import importlib, sys; from codefusion import main;"
        "[importlib.import_module(f'codefusion.commands.{c}') for c in main.COMMANDS];"
        "assert not {'tensorflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
