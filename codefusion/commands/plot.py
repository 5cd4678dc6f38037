"""`codefusion plot`: the curves of a work directory, as one page and as pictures."""

import json
import pathlib
import sys

from absl import flags

from codefusion import assemble, files
from codefusion import config as configs
from codefusion.analysis import curves, pictures, report
from codefusion.commands import options, trained
from codefusion.commands.waiting import Waiting

_NOISE_LEVELS = "noise_levels.json"


def define(flag_values):
    """Adds the command's flags."""
    flags.DEFINE_string(
        "out", None, "Folder to write to; without it plots/.", flag_values=flag_values
    )
    flags.DEFINE_boolean(
        "noise_levels",
        False,
        "Measure the cross-entropy against diffusion time, which reads the data.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "rows",
        128,
        "Rows of each split that --noise_levels reads.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "checkpoint",
        None,
        "Step of the checkpoint for --noise_levels; without it the newest.",
        lower_bound=0,
        flag_values=flag_values,
    )
    options.define_data_dir(flag_values)


def run(call):
    """Writes report.html and a PNG of each chart; prints their paths."""
    workdir = _workdir(call.flags.workdir)
    out = pathlib.Path(call.flags.out or workdir / "plots")
    if call.flags.noise_levels:
        _measure(call, out / _NOISE_LEVELS)
    charts = charts_of(workdir, out)
    if not charts:
        raise ValueError(
            f"{workdir / 'metrics.jsonl'} holds no metrics to draw; expected those "
            "that codefusion train writes."
        )
    facts = curves.facts(workdir / "metrics.jsonl")
    diff = workdir / "config_diff.txt"
    differences = diff.read_text(encoding="utf-8") if diff.is_file() else ""
    name = workdir.absolute().name
    page = out / "report.html"
    files.write_whole(page, report.write(name, facts, charts, differences))
    print(page)
    if not pictures.is_possible():
        print(
            "codefusion: no PNG is drawn, as matplotlib is not installed: pip install "
            "matplotlib (the extra `plot`).",
            file=sys.stderr,
        )
        return
    for chart in charts:
        path = out / f"{chart.key}.png"
        files.write_whole(path, pictures.png(chart))
        print(path)


def charts_of(workdir, out):
    """Returns the charts of a work directory, a list.

    Args:
      workdir: its path.
      out: folder in which noise levels lie, if they were ever measured.
    """
    found = curves.of_metrics(workdir / "metrics.jsonl")
    levels = out / _NOISE_LEVELS
    if levels.is_file():
        measured = json.loads(levels.read_text(encoding="utf-8"))
        found.append(curves.of_noise_levels(measured))
    return found + curves.of_steps(workdir / "scores")


def _workdir(given):
    """Returns --workdir as a path, checked."""
    if not given:
        raise ValueError("plot needs --workdir=DIR, the folder train wrote.")
    workdir = pathlib.Path(given)
    if not workdir.is_dir():
        raise ValueError(
            f"--workdir is {given!r}, which is not a folder; expected the one that "
            "codefusion train wrote."
        )
    return workdir


def _measure(call, path):
    """Writes what a model makes of each noise level."""
    from codefusion.analysis import noise_levels

    model = trained.load(call, "plot", step=call.flags.checkpoint)
    config = configs.validate(model.config)
    options.set_data_dir(config, call.flags)
    model = model.reconfigured(assemble.check(config))
    with Waiting("noise levels", total=len(noise_levels.TIMES)) as waiting:
        found = noise_levels.measure_all(
            model, call.flags.rows, progress=waiting.update
        )
    files.write_whole(path, json.dumps(found, indent=1) + "\n")
