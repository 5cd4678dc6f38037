"""`configs/tiny.py` trains the same by the kernel, interpreted, as by XLA."""

import json
import pathlib

import numpy as np
import pytest

from codefusion import assemble
from codefusion.commands import train
from pallas_kernels import interpreter

pytestmark = pytest.mark.slow
CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "tiny.py"


def losses(folder, attention, rounds):
    """Returns the losses of two steps of pre-training and one of fine-tuning."""
    namespace = {}
    exec(compile(CONFIG.read_text(), CONFIG, "exec"), namespace)
    given = namespace["get_config"]()
    given.model.update(attention=attention, alignment_rounds=rounds)
    given.data.update(size=200, held_out_size=10)
    given.pretraining.num_steps = 2
    given.training.update(num_steps=1, log_every=1)
    with interpreter.interpreted():
        train.train(assemble.check(given), folder)
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("rounds", [0, 2], ids=["plain", "aligned"])
def test_losses_are_those_of_xla(tmp_path, rounds):
    folders = {name: tmp_path / name for name in ("xla", "pallas")}
    for folder in folders.values():
        folder.mkdir()
    expected, found = (losses(f, name, rounds) for name, f in folders.items())
    assert len(expected) == 3
    np.testing.assert_allclose(found, expected, rtol=1e-5)
