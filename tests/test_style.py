"""The lengths that CONTRIBUTING promises, measured over the whole tree."""

import ast
import pathlib
import statistics

ROOT = pathlib.Path(__file__).parent.parent
SHIPPED = ("codefusion", "configs", "pallas_kernels", "benchmarks", "experiments")


def files(*folders):
    """Returns every Python file of the folders."""
    found = [file for folder in folders for file in (ROOT / folder).glob("**/*.py")]
    return [file for file in found if ".ipynb_checkpoints" not in file.parts]


def body_lengths(source):
    """Returns (lines of body without the docstring, name, line) of each function."""
    lengths = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            lengths.append((lines, node.name, node.lineno))
    return lengths


def shipped_functions():
    """Returns (lines, "file:line name") of every function of the product."""
    return [
        (lines, f"{file.relative_to(ROOT)}:{line} {name}")
        for file in files(*SHIPPED)
        for lines, name, line in body_lengths(file.read_text())
    ]


def test_a_docstring_does_not_count_and_a_nested_function_does():
    source = (
        'def f():\n    """Doc.\n\n    More.\n    """\n    def g():\n        x\n    y\n'
    )
    assert [(n, name) for n, name, _ in body_lengths(source)] == [(3, "f"), (1, "g")]


def test_half_of_all_functions_are_short():
    lengths = sorted(lines for lines, _ in shipped_functions())
    assert statistics.median(lengths) < 12
    assert lengths[int(0.9 * len(lengths))] < 33


def test_no_function_is_long():
    limits = {"pallas_kernels": 80}
    long = [
        (lines, where)
        for lines, where in shipped_functions()
        if lines > limits.get(pathlib.Path(where).parts[0], 40)
    ]
    assert sorted(long, reverse=True) == []


def test_no_file_is_long():
    counted = [(len(f.read_text().splitlines()), f) for f in files(*SHIPPED, "tests")]
    assert [(n, str(f.relative_to(ROOT))) for n, f in counted if n > 400] == []


def test_there_is_no_utils_module():
    assert [f for f in files(*SHIPPED, "tests") if f.stem in ("utils", "util")] == []


def test_public_functions_and_classes_have_docstrings():
    bare = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in files("codefusion", "pallas_kernels")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []
