"""Quality against denoising steps: three samplers, 1,200 steps down to one.

    codefusion table --config=configs/tables/steps.py --workdir=runs/tables
    python -m experiments.plots runs/tables/tables/steps.json

The samplers take the weights of the first row, three seeds. Below them, of one seed:
the form that writes all tokens at once, where the denoiser alone decides, and that form
trained with noise on what self-conditioning sees, a remedy for few steps. Five draws a
request, all of them candidates, at a token temperature of 1: with 80 draws, 1,200 steps
would take hours.
"""

from codefusion import config

TABLE = "steps"
SAMPLERS = {"ddpm": "DDPM", "ddim": "DDIM", "dpm_solver_pp": "DPM-Solver++"}
STEPS = (1200, 200, 50, 20, 10, 5, 2, 1)
AT_ONCE = {
    "at_once": ("all tokens at once", {}),
    "shaken": (
        "all tokens at once, noise on the estimate",
        {"training.estimate_noise": 0.5},
    ),
}


def get_config():
    """Returns the base; every row names its own file."""
    return config.base()


def sweep(add):
    """Adds the runs of the table."""
    add(
        "cf_rules",
        "configs/cf_rules.py",
        title="as configured",
        beside="",
        seeds=(0, 1, 2),
    )
    for name, title in SAMPLERS.items():
        for steps in STEPS:
            add(
                f"cf_rules_{name}_{steps}",
                of="cf_rules",
                title=_title(title, steps),
                beside="",
                changes=_steps(name, steps),
            )
    for name, (title, changes) in AT_ONCE.items():
        _add_curve(add, f"cf_rules_{name}", title, changes)


def _add_curve(add, name, title, changes):
    file = "configs/cf_rules.py:at_once"
    add(name, file, title=title, beside="", seeds=(0,), changes=changes)
    for steps in STEPS[1:]:
        add(
            f"{name}_{steps}",
            of=name,
            title=_title(title, steps),
            beside="",
            changes=_steps("ddim", steps),
        )


def _title(title, count):
    return f"{title}, {count:,} step{'s' if count > 1 else ''}"


def _steps(sampler, count):
    return {
        "sampler": {"name": sampler, "num_steps": count},
        "inference.num_draws": 5,
        "inference.token_temperature": 1.0,
        "inference.ranking": {"name": "covering"},
    }
