"""Right against different: what each knob of sampling trades for what.

    codefusion table --config=configs/tables/frontier.py --workdir=runs/tables
    python -m experiments.plots runs/tables/tables/frontier.json

One knob is turned at a time from the first row, of seed 0. Guidance starts from a run
that is trained with context dropout; the embedding scale is trained with.
"""

from codefusion import config

TABLE = "frontier"
FILE = "configs/cf_rules.py"
ETAS = (0.25, 0.5, 0.75, 1.0)
TEMPERATURES = (0.5, 0.75, 1.25, 1.5)
TOKEN_TEMPERATURES = (0.0, 0.7, 1.0, 1.6, 2.0)
GUIDANCES = (1.5, 2.0, 3.0)


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    add("cf_rules", FILE, title="as configured", beside="", seeds=(0, 1, 2))
    for eta in ETAS:
        sampler = {"name": "ddim", "num_steps": 20, "eta": eta}
        _add(add, f"eta_{eta}", f"eta {eta}", {"sampler": sampler})
    for value in TEMPERATURES:
        changes = {"inference.temperature": value}
        _add(add, f"temperature_{value}", f"temperature {value}", changes)
    for value in TOKEN_TEMPERATURES:
        changes = {"inference.token_temperature": value}
        _add(add, f"tokens_{value}", f"token temperature {value}", changes)
    for name, scale in (("scale_025", 0.25), ("scale_100", 1.0)):
        changes = {"diffusion.embedding_scale": scale}
        _train(add, name, f"embedding scale {scale}", changes)
    changes = {"training.context_dropout": 0.1}
    _train(add, "dropout", "context dropout 0.1", changes)
    for value in GUIDANCES:
        changes = {"inference.guidance": value}
        title = f"context dropout 0.1, guidance {value}"
        _add(add, f"guidance_{value}", title, changes, of="cf_rules_dropout")


def _add(add, name, title, changes, of="cf_rules"):
    name = f"cf_rules_{name}"
    add(name, of=of, title=title, beside="", seeds=(0,), changes=changes)


def _train(add, name, title, changes):
    add(f"cf_rules_{name}", FILE, title=title, beside="", seeds=(0,), changes=changes)
