"""Table 4: what the parts are worth, on conditional-formatting rules.

    codefusion table --config=configs/tables/table4.py --workdir=runs/tables

One part is changed at a time, and trained anew where weights depend on it. The config
goes without the paper's pre-training, so that here it is added, whole and by halves.
Writing all at once brings its own token temperature, ranking and repairs; grounding and
clamping read tokens off the embeddings, which only such a model can, and take its
weights. Guidance needs training that now and then hides the request (context dropout),
so it has a row of its own without.
"""

from codefusion import config

TABLE = "table4"
NOTES = ("Minutes are of one core, some with other work beside, and compilation.",)
FILE = "configs/cf_rules.py"
PRETRAINED = {"pretraining.num_steps": 1_300}
WITHOUT_CODE = "without unsupervised code generation"
# Name -> (title, the paper's system beside it, what differs in training).
TRAINED = {
    "pretrained": ("with pre-training", "", PRETRAINED),
    "cpd_alone": (
        "with pre-training by CPD alone",
        WITHOUT_CODE,
        PRETRAINED | {"pretraining.cpd_weight": 1.0},
    ),
    "no_cpd": (
        "with pre-training without CPD",
        "without CPD",
        PRETRAINED | {"pretraining.cpd_weight": 0.0},
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
    at_once = f"{FILE}:at_once"
    add("cf_rules_at_once", at_once, title="all tokens at once", beside="", seeds=(0,))
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
        title = f"all tokens at once, {name}"
        row = f"cf_rules_{name}"
        add(row, of="cf_rules_at_once", title=title, beside=name, changes=changes)
    for guidance in (1.5, 2.0, 3.0):
        add(
            f"cf_rules_guidance_{guidance}",
            of="cf_rules_dropout",
            title=f"context dropout 0.1, guidance {guidance}",
            beside="",
            changes={"inference.guidance": guidance},
        )
