"""Weak scaling by compilation: the same rows on every chip, from 8 chips to 4,096.

    python -m benchmarks.reliability.scaling --model=paper --rows_per_chip=8

The training step is compiled for each topology with `sharding.fsdp` fixed, so that more
chips are more copies. Two figures: what the arrays of a chip take (arguments and
temporaries; the program itself is told beside) is that of the first topology within
5 %, and a chip sends at most what it does on the first topology and what the copies
add,

    2 (d - 1) / d g  over `data` within a slice, and as much over s slices,

with d copies in a slice and g the bytes of the gradients of a chip, float32, and at
least half of that: gradients in bfloat16 would be half the bytes, and with fewer some
are not sent or not counted. Needs libtpu and no TPU.
"""

import importlib.util
import pathlib

from benchmarks.reliability import harness
from codefusion import assemble, sharding
from codefusion import config as configs
from codefusion.planning import chips, collectives, compiling, programs

ROOT = pathlib.Path(__file__).parents[2]
TOPOLOGIES = ("v5e:2x4", "v5e:16x16", "16*v5e:16x16")
TOLERANCE = 0.05
LEAST = 0.5  # of the bytes of the formula


def paper():
    """Returns the config of the paper's model."""
    path = ROOT / "configs" / "paper" / "codefusion.py"
    spec = importlib.util.spec_from_file_location("paper", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def small():
    """Returns the config of a model whose compilation takes a minute."""
    c = paper()
    c.model.update(width=256, num_heads=4, mlp_width=1024, embedding_width=64)
    c.model.update(encoder_layers=1, denoiser_layers=2, decoder_layers=2)
    c.data.update(source_length=64, target_length=64)
    c.tokenizer.vocab_size = 1024
    return c


MODELS = {"paper": paper, "small": small}


def topology(text):
    """Returns the `Topology` of "v5e:16x16", or of so many slices, "16*v5e:16x16"."""
    number, _, name = text.rpartition("*")
    return chips.parse(name, num_slices=int(number or 1))


def setting(config, chosen, *, rows_per_chip, fsdp):
    """Returns the `programs.Setting` of a config on a topology.

    Args:
      config: a ConfigDict; a checked copy is taken.
      chosen: a `Topology`.
      rows_per_chip: of a batch.
      fsdp: devices that share the parameters.
    """
    copy = configs.from_json(configs.to_json(config))
    copy.sharding = dict(data=-1, fsdp=fsdp, tensor=1)
    copy.training.batch_size = rows_per_chip * chosen.num_devices
    return programs.Setting(assemble.check(copy), "training", chosen)


def arrays(compiled):
    """Returns the bytes that the arrays of a chip take."""
    return compiled.arguments + compiled.temporaries


def sent(compiled):
    """Returns the bytes that a chip sends in a step: (within its slice, beyond)."""
    totals = [0.0, 0.0]
    for x in compiled.collectives:
        totals[x.axes == (collectives.NETWORK,)] += x.runs * x.sent
    return tuple(totals)


def added_by_copies(chosen):
    """Returns what the copies of a setting's mesh add to what a chip sends, bytes."""
    gradients = sharding.bytes_per_device(chosen.params)
    slices = chosen.topology.num_slices
    copies = chosen.mesh.shape["data"] // slices
    return sum(2 * gradients * (n - 1) / n for n in (copies, slices))


def faults(measured):
    """Returns what is not as it should be, a list of str.

    Args:
      measured: list of (name, compiled, added by copies), the first to compare with.
    """
    _, first, _ = measured[0]
    found = []
    for name, compiled, added in measured[1:]:
        change = arrays(compiled) / arrays(first) - 1
        if abs(change) > TOLERANCE:
            found.append(f"{name}: memory {100 * change:+.1f} %")
        formula = sum(sent(first)) + added
        least, most = LEAST * formula, (1 + TOLERANCE) * formula
        if not least <= sum(sent(compiled)) <= most:
            found.append(
                f"{name}: {sum(sent(compiled)) / 1e6:.1f} MB sent, expected "
                f"{least / 1e6:.1f} to {most / 1e6:.1f}"
            )
    return found


def row(name, compiled, added, first):
    """Returns the figures of one topology, a line."""
    inside, beyond = (size / 1e6 for size in sent(compiled))
    formula = (sum(sent(first)) + added) / 1e6
    return (
        f"{name}: arrays {arrays(compiled) / 2**20:.1f} MiB "
        f"({100 * (arrays(compiled) / arrays(first) - 1):+.1f} %), program "
        f"{compiled.code / 2**20:.1f} MiB; sent {inside:.1f} MB within the slice, "
        f"{beyond:.1f} MB beyond, by the formula {formula:.1f} MB; compiled in "
        f"{compiled.seconds:.0f} s"
    )


def measure(config, texts, *, rows_per_chip, fsdp):
    """Returns (name, compiled, added by copies) of each topology; prints as it goes."""
    measured = []
    for text in texts:
        chosen = setting(config, topology(text), rows_per_chip=rows_per_chip, fsdp=fsdp)
        compiled = compiling.compile_apart(
            chosen, "training_step", chosen.section.batch_size
        )
        measured.append((text, compiled, added_by_copies(chosen)))
        print(row(*measured[-1], measured[0][1]), flush=True)
    return measured


def main():
    """Compiles for each topology and ends in a line of figures."""
    parser = harness.parser(__doc__, rows_per_chip=8, fsdp=8)
    parser.add_argument("--model", choices=MODELS, default="paper")
    parser.add_argument("--topologies", nargs="+", default=TOPOLOGIES)
    flags = parser.parse_args()
    config = MODELS[flags.model]()
    config.seed = flags.seed
    measured = measure(
        config, flags.topologies, rows_per_chip=flags.rows_per_chip, fsdp=flags.fsdp
    )
    change = max(
        abs(arrays(compiled) / arrays(measured[0][1]) - 1)
        for _, compiled, _ in measured
    )
    figures = {
        "topologies": len(measured),
        "% of change in a chip's memory": round(100 * change, 1),
    }
    harness.finish("scaling", figures, dict.fromkeys(faults(measured), False))


if __name__ == "__main__":
    main()
