"""`codefusion plan`: compiles a config for chips that need not exist, and tells."""

import dataclasses
import json
import sys

import jax
from absl import flags

from codefusion import assemble, consistency, files
from codefusion.planning import chips, report, sweep
from codefusion.planning import plan as plans


def define(flag_values):
    """Adds the command's flags."""
    flags.DEFINE_string(
        "topology",
        None,
        "Chips to plan for: v5e:16x16, v5p:8x8x4, gpu:8 (also v4, v6e, tpu7x).",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "num_slices", 1, "Slices of that topology.", flag_values=flag_values
    )
    flags.DEFINE_enum(
        "stage",
        "training",
        ["training", "pretraining"],
        "Stage whose step is compiled.",
        flag_values=flag_values,
    )
    flags.DEFINE_boolean(
        "sweep",
        False,
        "Try the sensible layouts and rank them.",
        flag_values=flag_values,
    )
    flags.DEFINE_boolean(
        "fit",
        True,
        "Find the largest batch, or what to change; compiles several times.",
        flag_values=flag_values,
    )
    flags.DEFINE_boolean(
        "sampler", True, "Compile the sampler too.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "out", None, "File to write to, .json or .md.", flag_values=flag_values
    )


def run(call):
    """Prints the plan of the call's config; 1 where the step does not fit."""
    topology, out = _check(call)
    # The machine's own devices have no part in this, and must not be waited for.
    jax.config.update("jax_platforms", "cpu")
    config = assemble.check(call.config)
    if consistency.is_autoregressive(config):
        raise ValueError(
            "model.name is 'autoregressive'; expected 'codefusion', as a plan counts "
            "the work of denoising."
        )
    try:
        topology.devices()
    except RuntimeError as error:
        raise ValueError(f"--topology={call.flags.topology}: {error}") from error
    if call.flags.sweep:
        found = sweep.run(config, topology, stage=call.flags.stage, say=_say)
        text, fits = report.render_sweep(found), found[0].fits
        values = [dataclasses.asdict(entry) for entry in found]
    else:
        found = plans.make(
            config,
            topology,
            stage=call.flags.stage,
            fit=call.flags.fit,
            sampler=call.flags.sampler,
            say=_say,
        )
        text, fits, values = report.render(found), found.fits, plans.to_json(found)
    print(text, end="")
    if out:
        written = text if out.endswith(".md") else json.dumps(values, indent=1) + "\n"
        files.write_whole(out, written)
    return 0 if fits else 1


def _check(call):
    """Returns the topology and the file to write to; raises ValueError."""
    if call.config is None:
        raise ValueError("plan needs --config=FILE, or --workdir=DIR of a trained one.")
    if not call.flags.topology:
        raise ValueError("plan needs --topology=..., such as v5e:16x16 or gpu:8.")
    ignored = [name for name in ("fit", "sampler") if call.flags[name].present]
    if call.flags.sweep and ignored:
        raise ValueError(
            f"--sweep compiles the step of each layout and nothing else; leave out "
            f"{' and '.join(f'--[no]{name}' for name in ignored)}."
        )
    out = call.flags.out
    if out and not out.endswith((".json", ".md")):
        raise ValueError(f"--out is {out!r}; expected a name ending in .json or .md.")
    return chips.parse(call.flags.topology, num_slices=call.flags.num_slices), out


def _say(line):
    print(f"plan: {line}", file=sys.stderr, flush=True)
