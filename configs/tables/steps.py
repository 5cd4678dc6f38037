"""Quality against denoising steps: three samplers, 1,200 steps down to one.

    codefusion table --config=configs/tables/steps.py --workdir=runs/tables
    python -m experiments.plots runs/tables/tables/steps.json

Every line takes the weights of the first row, three seeds.
"""

from codefusion import config

TABLE = "steps"
SAMPLERS = {"ddpm": "DDPM", "ddim": "DDIM", "dpm_solver_pp": "DPM-Solver++"}
STEPS = (1200, 200, 50, 20, 10, 5, 2, 1)


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
                title=f"{title}, {steps:,} steps" if steps > 1 else f"{title}, 1 step",
                beside="",
                changes={"sampler": {"name": name, "num_steps": steps}},
            )
