"""`codefusion doctor`: what is installed, what is wrong, and the command to mend it."""

import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from absl import flags
from rich.console import Console
from rich.text import Text

from codefusion.data.builders import prepare
from codefusion.data.datasets import CORPORA, DATASETS, Dataset

_FREE_GIB = 2.0  # a work directory with checkpoints and the prepared data fit in this
_PIP = f"{shlex.quote(sys.executable)} -m pip"  # of the environment this runs in
# What each extra is for.
_EXTRAS = {
    "tpu": "TPUs, and `plan` for them without one",
    "cuda": "NVIDIA GPUs, and `plan` for them without one",
    "gcs": "checkpoints in a bucket",
    "eval": "CodeBERTScore",
    "plot": "drawing figures",
    "tensorboard": "TensorBoard events beside metrics.jsonl",
    "oracle": "tests that compare with PyTorch",
    "dev": "the tests and ruff",
}
# The package by which one sees that another's extra is installed.
_SHOWN_BY = {"jax[tpu]": "libtpu", "jax[cuda13]": "jax-cuda13-plugin"}
_BRIEF = ("python", "jax", "devices", "disk")  # shown with --brief, right or wrong
_STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


class Finding(NamedTuple):
    """One thing looked at.

    Attributes:
      state: "ok", "note" (works without it) or "wrong".
      what: what was looked at.
      found: what was found.
      remedy: the one command that mends it, "" where nothing is to be mended.
    """

    state: str
    what: str
    found: str
    remedy: str = ""


def define(flag_values):
    """Adds the command's flags."""
    flags.DEFINE_boolean(
        "brief", False, "Show the devices and what is wrong.", flag_values=flag_values
    )


def run(call):
    """Prints every finding; returns 1 if one is wrong, else 0."""
    workdir = Path(call.flags.workdir or ".")
    findings = [
        find_python(),
        *find_packages("codefusion"),
        find_devices(),
        find_data(os.environ),
        find_cache(os.environ),
        find_disk(workdir),
    ]
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        if not call.flags.brief or finding.state == "wrong" or finding.what in _BRIEF:
            console.print(render(finding))
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if wrong:
        print(f"codefusion: {len(wrong)} wrong: {wrong[0].what}.", file=sys.stderr)
    return 1 if wrong else 0


def render(finding):
    """Returns a finding as rich Text of one or two lines."""
    text = Text.assemble(
        (f"{finding.state:5}", _STYLES[finding.state]),
        f"  {finding.what:26} {finding.found}",
    )
    return text.append(f"\n       run: {finding.remedy}") if finding.remedy else text


def find_python():
    """Returns the Finding on the Python version."""
    return Finding("ok", "python", f"{platform.python_version()} at {sys.prefix}")


def find_packages(distribution):
    """Returns Findings on each package that a distribution requires."""
    try:
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        remedy = f"{_PIP} install -e ."
        return [Finding("wrong", distribution, "not installed", remedy)]
    extras = {}
    for line in requirements:
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        extras.setdefault(extra and extra[1], []).append(line.partition(";")[0].strip())
    needed = extras.pop(None, [])
    return [*map(_find_package, needed), *map(_find_extra, extras, extras.values())]


def _find_package(requirement):
    """Returns the Finding on one requirement, such as "jax>=0.10.2"."""
    name, least = re.match(
        r"([\w.-]+(?:\[\w+\])?)(?:>=([\d.]+))?", requirement
    ).groups()
    name, remedy = _SHOWN_BY.get(name, name), f"{_PIP} install '{requirement}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding("wrong", name, "not installed", remedy)
    if least and _numbers(version) < _numbers(least):
        return Finding("wrong", name, f"{version}, older than {least}", remedy)
    return Finding("ok", name, version)


def _find_extra(extra, requirements):
    """Returns the Finding on an extra: what it has, or what it lacks and is for."""
    found = [_find_package(requirement) for requirement in requirements]
    lacking = [
        (finding.what, f"'{requirement}'")
        for finding, requirement in zip(found, requirements, strict=True)
        if finding.state != "ok"
    ]
    if not lacking:
        versions = ", ".join(f"{each.what} {each.found}" for each in found)
        return Finding("ok", f"extra {extra}", versions)
    names, wanted = zip(*lacking, strict=True)
    purpose = f", for {_EXTRAS[extra]}" if extra in _EXTRAS else ""
    text = f"not installed: {', '.join(names)}{purpose}"
    return Finding("note", f"extra {extra}", text, f"{_PIP} install {' '.join(wanted)}")


def _numbers(version):
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def find_devices():
    """Returns the Finding on the devices that JAX sees."""
    try:
        import jax

        devices = jax.devices()
    except Exception as error:  # a broken plugin raises what it likes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Finding("wrong", "devices", reason, "export JAX_PLATFORMS=cpu")
    kinds = sorted({device.device_kind for device in devices})
    found = f"{len(devices)} x {', '.join(kinds)} ({jax.default_backend()})"
    return Finding("ok", "devices", f"{found}, {os.cpu_count()} CPU cores")


def find_data(environ):
    """Returns the Finding on the folder with the source files of the data."""
    folder = environ.get("CODEFUSION_DATA")
    if not folder:
        found = "not set: builders download; the generated set needs neither"
        return Finding("note", "CODEFUSION_DATA", found)
    table = DATASETS | CORPORA
    names = [n for n in table if issubclass(table[n], Dataset)]  # others have no files
    lacking = [name for name in names if not holds(folder, name)]
    if lacking == names:
        what = f"{folder} holds the files of no data set"
        return Finding("wrong", "CODEFUSION_DATA", what, "unset CODEFUSION_DATA")
    if lacking:
        found = f"{folder}, without the files of {', '.join(lacking)}"
        return Finding("note", "CODEFUSION_DATA", found)
    return Finding("ok", "CODEFUSION_DATA", folder)


def holds(folder, name):
    """Returns whether a folder has all files of a data set, which are not read.

    Args:
      folder: str or path.
      name: of the data set or corpus.
    """
    paths = [Path(folder, source.path) for source in prepare.module(name).SOURCES]
    return all(path.exists() or Path(f"{path}.gz").exists() for path in paths)


def find_cache(environ):
    """Returns the Finding on the cache of prepared data."""
    cache = environ.get("CODEFUSION_CACHE") or "~/.cache/codefusion"
    folder = _existing(Path(cache).expanduser())
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("ok", "cache", f"{cache}, writable")
    except OSError as error:
        remedy = f"export CODEFUSION_CACHE={tempfile.gettempdir()}/codefusion"
        return Finding("wrong", "cache", f"{cache}: {error.strerror}", remedy)


def find_disk(workdir):
    """Returns the Finding on the free disk where work directories go."""
    free = shutil.disk_usage(_existing(workdir)).free / 2**30
    found = f"{free:.1f} GiB free at {workdir}"
    if free >= _FREE_GIB:
        return Finding("ok", "disk", found)
    remedy = f"du -sh {workdir}/* | sort -h"
    return Finding("wrong", "disk", f"{found}, less than {_FREE_GIB} GiB", remedy)


def _existing(folder):
    """Returns the nearest existing folder at or above a path."""
    folder = Path(folder).absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())
