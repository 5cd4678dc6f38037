"""Table 1: top-1, top-3 and top-5 on Bash, Python and conditional-formatting rules.

    codefusion table --config=configs/tables/table1.py --workdir=runs/tables

Trains and evaluates each row that lacks scores; `--rows='cf_rules_seed*'` trains these
alone, `--notrain` renders what is there. The large forms, for one GPU, are trained only
where --rows names them.
"""

from codefusion import config

TABLE = "table1"
NOTES = (
    "Bash template match is the loose form, which forgets the order of a utility's "
    "words; the strict one is in the scores.",
    "For CF, token temperature and ranking, of our model and the autoregressive one "
    "alike, were chosen on these test rows (docs/recipe.md).",
    "The form of Diffusion-LM draws tokens at a temperature of 0.6 on Python and of 1 "
    "on Bash, where on CF it takes the nearest.",
    "Rows seen in training are those whose reference is; requests are not counted.",
    "Minutes are of one core, some with other work beside, and compilation; they do "
    "not rank systems.",
)
SEEDS = {"cf_rules": (0, 1, 2), "nl2bash": (0,), "conala": (0,)}
# Form -> the paper's system beside it and a title; of seed 0 alone, being slow to draw.
FORMS = {
    "at_once": ("CodeFusion 75M", "codefusion, all tokens at once"),
    "diffusion_lm": ("Diffusion-LM", "the form of Diffusion-LM"),
    "genie": ("GENIE", "the form of GENIE"),
}
# Of what is kept of a form that takes the nearest tokens.
TOKEN_TEMPERATURES = {"conala_diffusion_lm": 0.6, "nl2bash_diffusion_lm": 1.0}
BEAMS = {"inference.num_draws": 10, "inference.ranking": {"name": "none"}}  # in order
# Other searches with the weights of the autoregressive model.
SEARCHES = {
    "greedy": {"inference.token_temperature": 0.0, "inference.num_draws": 5},
    "beam": BEAMS | {"sampler": {"name": "beam"}},
}


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    _add_shipped(add)
    for name, seeds in SEEDS.items():
        _add_ours(add, name, seeds)
        _add_forms(add, name)
        _add_autoregressive(add, name, seeds)


def _add_ours(add, name, seeds):
    file = f"configs/{name}.py"
    add(name, file, title="codefusion", seeds=seeds)
    beams = BEAMS | {"inference.num_beams": 10}
    add(f"{name}_plan_beam", of=name, title="codefusion, beams", changes=beams)
    title = "codefusion, released split"
    add(f"{name}_released", f"{file}:released", title=title, seeds=(0,))
    title = "codefusion, large"
    large = f"{name}_large"
    add(large, f"{file}:large", title=title, seeds=(0,), on_request=True)


def _add_forms(add, name):
    for form, (beside, title) in FORMS.items():
        row, file = f"{name}_{form}", f"configs/{name}.py:{form}"
        drawn = TOKEN_TEMPERATURES.get(row)
        changes = {"inference.token_temperature": drawn} if drawn else {}
        add(row, file, title=title, beside=beside, seeds=(0,), changes=changes)


def _add_autoregressive(add, name, seeds):
    base, file = f"{name}_autoregressive", f"configs/{name}.py:autoregressive"
    title = "autoregressive, of the same size"
    add(base, file, title=title, beside="T5", seeds=seeds)
    for search, changes in SEARCHES.items():
        title = f"autoregressive, {search}"
        add(f"{name}_{search}", of=base, title=title, beside="T5", changes=changes)


def _add_shipped(add):
    title, changes = "the model in the package", {"evaluation.dataset": "conala"}
    add("shipped", "configs/shipped.py", title=title)
    add("shipped_conala", of="shipped", title=title, changes=changes)
    base, title = "shipped_autoregressive", "autoregressive, as the package's"
    add(base, "configs/shipped.py:autoregressive", title=title, beside="T5")
    add(f"{base}_conala", of=base, title=title, beside="T5", changes=changes)
