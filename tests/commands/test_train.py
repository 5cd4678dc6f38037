"""What a run starts from, and what is refused before it does."""

import types

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors

from codefusion import assemble, config
from codefusion.commands import train

SMALL = dict(width=12, num_heads=2, head_width=4, mlp_width=20, embedding_width=6)
SMALL |= dict(encoder_layers=1, denoiser_layers=1, decoder_layers=1)
INNER = SMALL["num_heads"] * SMALL["head_width"]


@pytest.fixture
def small():
    """Returns the checked config of a small network, and its initial parameters."""
    given = config.base()
    given.model.update(SMALL)
    checked = assemble.check(given)
    model = assemble.parts(checked, 64).model
    return checked, assemble.init_params(checked, model)


@pytest.fixture
def folder(tmp_path):
    """Returns the folder of a T5 checkpoint whose matrices hold 7 throughout."""
    attention, mlp = "layer.0.SelfAttention", "layer.1.DenseReluDense"
    shapes = {
        f"{attention}.q.weight": (INNER, 12),
        f"{attention}.k.weight": (INNER, 12),
        f"{attention}.v.weight": (INNER, 12),
        f"{attention}.o.weight": (12, INNER),
        f"{attention}.relative_attention_bias.weight": (32, 2),
        "layer.0.layer_norm.weight": (12,),
        f"{mlp}.wi.weight": (20, 12),
        f"{mlp}.wo.weight": (12, 20),
        "layer.1.layer_norm.weight": (12,),
    }
    tensors = {f"encoder.block.0.{name}": shape for name, shape in shapes.items()}
    tensors["encoder.final_layer_norm.weight"] = (12,)
    full = {name: np.full(shape, 7.0, np.float32) for name, shape in tensors.items()}
    safetensors.save_file(full, tmp_path / "model.safetensors")
    return str(tmp_path)


def test_a_run_starts_from_the_encoder_layers_it_names_and_its_own_embedding(
    small, folder
):
    _, params = small
    loaded = train.encoder_loader(folder)(params)
    assert np.all(loaded["encoder"]["layer_0"]["query"]["kernel"] == 7.0)
    same = jax.tree.map(lambda a, b: a is b, params, loaded)
    assert same["encoder"].pop("embedding") and not any(
        jax.tree.leaves(same.pop("encoder"))
    )
    assert all(jax.tree.leaves(same))


def test_without_a_name_a_run_starts_from_its_own_parameters():
    assert train.encoder_loader("") is None


def test_a_metric_that_there_is_not_is_refused_before_training(small):
    checked, _ = small
    checked.evaluation.metrics = ("exactness",)
    with pytest.raises(ValueError, match="evaluation.metrics holds .*exactness"):
        train.check_evaluation(checked)


def test_evaluations_of_no_rows_are_refused_before_training(small, monkeypatch):
    checked, _ = small
    checked.training.eval_every = 10
    train.check_evaluation(checked)
    empty = types.SimpleNamespace(
        name="none", language="cf", scheme="released", examples=lambda split: ()
    )
    monkeypatch.setattr(assemble, "dataset", lambda config: empty)
    with pytest.raises(ValueError, match="training.eval_every is 10, but none has no"):
        train.check_evaluation(checked)
