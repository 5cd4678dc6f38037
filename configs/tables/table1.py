"""Table 1: top-1, top-3 and top-5 on Bash, Python and conditional-formatting rules.

    codefusion table --config=configs/tables/table1.py --workdir=runs/tables

Trains and evaluates each row that lacks scores; `--rows='cf_rules_seed*'` trains these
alone, `--notrain` renders what is there. The large forms, for one GPU, are trained only
where --rows names them.
"""

from codefusion import config

TABLE = "table1"
SEEDS = {"cf_rules": (0, 1, 2), "nl2bash": (0,), "conala": (0,)}
FORMS = {
    "autoregressive": ("T5", "autoregressive, of the same size"),
    "diffusion_lm": ("Diffusion-LM", "the form of Diffusion-LM"),
    "genie": ("GENIE", "the form of GENIE"),
}
# Other searches with the weights of the autoregressive model; a beam is in order.
SEARCHES = {
    "greedy": {"inference.token_temperature": 0.0, "inference.num_draws": 5},
    "beam": {
        "sampler": {"name": "beam"},
        "inference.num_draws": 10,
        "inference.ranking": {"name": "none"},
    },
}


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    _add_shipped(add)
    for name, seeds in SEEDS.items():
        file = f"configs/{name}.py"
        add(name, file, title="codefusion", seeds=seeds)
        add(
            f"{name}_released",
            f"{file}:released",
            title="codefusion, released split",
            seeds=(0,),
        )
        add(
            f"{name}_large",
            f"{file}:large",
            title="codefusion, large",
            seeds=(0,),
            on_request=True,
        )
        for form, (beside, title) in FORMS.items():
            file_of_form = f"{file}:{form}"
            add(f"{name}_{form}", file_of_form, title=title, beside=beside, seeds=seeds)
        for search, changes in SEARCHES.items():
            add(
                f"{name}_{search}",
                of=f"{name}_autoregressive",
                title=f"autoregressive, {search}",
                beside="T5",
                changes=changes,
            )
    add(
        "nl2bash_at_once",
        "configs/nl2bash.py:at_once",
        title="codefusion, all tokens at once",
        seeds=(0,),
    )


def _add_shipped(add):
    title = "the model in the package"
    add("shipped", "configs/shipped.py", title=title)
    changes = {"evaluation.dataset": "conala"}
    add("shipped_conala", of="shipped", title=title, changes=changes)
