"""Table 4: what the parts are worth, on conditional-formatting rules.

    codefusion table --config=configs/tables/table4.py --workdir=runs/tables

One part is left out at a time, and trained anew where weights depend on it. Grounding,
clamping and guidance take the weights of a row above them. Guidance needs training that
now and then hides the request (context dropout), so it has a row of its own without.
"""

from codefusion import config

TABLE = "table4"
FILE = "configs/cf_rules.py"
WITHOUT_CODE = "without unsupervised code generation"
# Name -> (title, the paper's system beside it, what differs in training).
TRAINED = {
    "cpd_alone": (WITHOUT_CODE, WITHOUT_CODE, {"pretraining.cpd_weight": 1.0}),
    "no_cpd": ("without CPD", "without CPD", {"pretraining.cpd_weight": 0.0}),
    "no_pretraining": (
        "without any pre-training",
        "",
        {"pretraining.num_steps": 0},
    ),
    "no_self_conditioning": (
        "without self-conditioning",
        "",
        {"model.self_conditioning": False, "training.self_conditioning": 0.0},
    ),
    "scale_025": ("embedding scale 0.25", "", {"diffusion.embedding_scale": 0.25}),
    "scale_100": ("embedding scale 1", "", {"diffusion.embedding_scale": 1.0}),
    "dropout": (
        "context dropout 0.1, no guidance",
        "",
        {"training.context_dropout": 0.1},
    ),
}


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    add("cf_rules", FILE, title="codefusion", seeds=(0, 1, 2))
    for name, (title, beside, changes) in TRAINED.items():
        add(
            f"cf_rules_{name}",
            FILE,
            title=title,
            beside=beside,
            seeds=(0,),
            changes=changes,
        )
    for name in ("grounding", "clamping"):
        changes = {"inference.rounding": {"name": name}}
        add(f"cf_rules_{name}", of="cf_rules", title=name, beside=name, changes=changes)
    for guidance in (1.5, 2.0, 3.0):
        add(
            f"cf_rules_guidance_{guidance}",
            of="cf_rules_dropout",
            title=f"context dropout 0.1, guidance {guidance}",
            beside="",
            changes={"inference.guidance": guidance},
        )
