"""Right against different: what each knob of sampling trades for what.

    codefusion table --config=configs/tables/frontier.py --workdir=runs/tables
    python -m experiments.plots runs/tables/tables/frontier.json

One knob is turned at a time, of seed 0, from a token temperature of 1 and candidates
chosen as a set (ranking "covering"). The embedding scale is trained with; guidance
starts from a run that is trained with context dropout, at the default settings. The
default has the best top-5 among what is 0.4 apart in edit distance; the autoregressive
model is beside it.
"""

from codefusion import config

TABLE = "frontier"
NOTES = (
    "A line without a number of seeds is of seed 0 alone, with which the first line "
    "has the highest of its figures.",
)
FILE = "configs/cf_rules.py"
SEEDS = (0, 1, 2)
ETAS = (0.25, 0.5, 0.75, 1.0)
TEMPERATURES = (0.5, 0.75, 1.25, 1.5)
TOKEN_TEMPERATURES = (0.0, 0.7, 1.6, 2.0)  # and 1.0 and 1.8, of three seeds
SET = {"inference.ranking": {"name": "covering"}}
PLAIN = SET | {"inference.token_temperature": 1.0}
GUIDANCES = (1.5, 2.0, 3.0)


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    add("cf_rules", FILE, title="as configured", beside="", seeds=SEEDS)
    for value in (1.0, 1.8):
        _add_tokens(add, value, seeds=SEEDS)
    for value in TOKEN_TEMPERATURES:
        _add_tokens(add, value)
    _add_autoregressive(add)
    for eta in ETAS:
        sampler = {"name": "ddim", "num_steps": 20, "eta": eta}
        changes = PLAIN | {"sampler": sampler}
        _add(add, f"cf_rules_eta_{eta}", f"eta {eta}", changes)
    for value in TEMPERATURES:
        changes = PLAIN | {"inference.temperature": value}
        _add(add, f"cf_rules_temperature_{value}", f"temperature {value}", changes)
    for name, scale in (("scale_025", 0.25), ("scale_100", 1.0)):
        title = f"embedding scale {scale}"
        changes = {"diffusion.embedding_scale": scale}
        _train(add, name, f"{title}, as configured", changes)
        title = f"{title}, token temperature"
        _add_tokens(add, 1.0, of=f"cf_rules_{name}", title=title)
    title = "context dropout 0.1, guidance"
    changes = {"training.context_dropout": 0.1}
    _train(add, "dropout", f"{title} 1.0", changes)
    for value in GUIDANCES:
        changes = {"inference.guidance": value}
        row = f"cf_rules_guidance_{value}"
        _add(add, row, f"{title} {value}", changes, of="cf_rules_dropout")


def _add_autoregressive(add):
    name = "cf_rules_autoregressive"
    title = "autoregressive, as configured"
    add(name, f"{FILE}:autoregressive", title=title, beside="", seeds=SEEDS)
    for value in (1.0, 1.8):
        title = "autoregressive, token temperature"
        _add_tokens(add, value, of=name, title=title, seeds=SEEDS)


def _add_tokens(add, value, of="cf_rules", title="token temperature", seeds=(0,)):
    changes = SET | {"inference.token_temperature": value}
    name = f"{of}_tokens_{value}"
    title = f"{title} {value}"
    add(name, of=of, title=title, beside="", seeds=seeds, changes=changes)


def _add(add, name, title, changes, of="cf_rules"):
    add(name, of=of, title=title, beside="", seeds=(0,), changes=changes)


def _train(add, name, title, changes):
    add(f"cf_rules_{name}", FILE, title=title, beside="", seeds=(0,), changes=changes)
