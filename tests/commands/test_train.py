"""What a run starts from, and what is refused before it does."""

import types

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType
from safetensors import numpy as safetensors

from codefusion import assemble, checkpoints, config, sharding
from codefusion.commands import train
from codefusion.training import loop

SMALL = dict(width=12, num_heads=2, head_width=4, mlp_width=20, embedding_width=6)
SMALL |= dict(encoder_layers=1, denoiser_layers=1, decoder_layers=1)
INNER = SMALL["num_heads"] * SMALL["head_width"]


@pytest.fixture
def small():
    """Returns the checked config of a small network."""
    given = config.base()
    given.model.update(SMALL)
    return assemble.check(given)


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
    model = assemble.parts(small, 64).model
    shapes = jax.eval_shape(lambda: assemble.init_params(small, model))
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
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
    small.evaluation.metrics = ("exactness",)
    with pytest.raises(ValueError, match="evaluation.metrics holds .*exactness"):
        train.check_evaluation(small)


def test_evaluations_of_no_rows_are_refused_before_training(small, monkeypatch):
    small.training.eval_every = 10
    train.check_evaluation(small)
    empty = types.SimpleNamespace(
        name="none", language="cf", scheme="released", examples=lambda split: ()
    )
    monkeypatch.setattr(assemble, "dataset", lambda config: empty)
    with pytest.raises(ValueError, match="training.eval_every is 10, but none has no"):
        train.check_evaluation(small)


def test_a_work_directory_that_cannot_be_written_to_fails_before_training(
    small, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("in the way")
    tokenizer = types.SimpleNamespace(vocab_size=64)
    monkeypatch.setattr(assemble, "train_tokenizer", lambda config: tokenizer)
    monkeypatch.setattr(assemble, "stages", lambda *parts: [])
    monkeypatch.setattr(loop, "train", lambda *stages, **options: pytest.fail("trains"))
    with pytest.raises(checkpoints.CheckpointError, match="cannot be written to"):
        train.train(small, tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"training.batch_size": 27, "training.microbatches": 3},
            r"training.batch_size is 27; expected a multiple of 12 \(sharding.data 2 x "
            r"sharding.fsdp 2 x training.microbatches 3\), such as 24 or 36.$",
        ),
        ({"training.batch_size": 3}, "multiple of 4 .*, such as 4.$"),
        (
            {"pretraining.batch_size": 6, "pretraining.num_steps": 1},
            "pretraining.batch_size is 6; expected a multiple of 4 .* as 4 or 8.$",
        ),
        ({"training.num_steps": 0}, "training.num_steps is 0; expected at least 1"),
    ],
)
def test_steps_that_cannot_be_made_are_refused_with_what_would_be_right(
    small, changes, reason
):
    mesh = AbstractMesh((2, 2, 1), sharding.AXES, axis_types=(AxisType.Auto,) * 3)
    small.pretraining.batch_size = 6  # of no step
    train.check_steps(small, mesh)
    small.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=reason):
        train.check_steps(small, mesh)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training.num_steps": 0}, "num_steps is 0"),
        ({"model.attention": "pallas"}, "model.attention is 'pallas', which needs"),
        ({"pretraining.encoder": "/none/such"}, "/none/such: no such file or folder"),
    ],
)
def test_a_refused_start_leaves_no_folder(
    small, changes, reason, tmp_path, monkeypatch
):
    small.update_from_flattened_dict(changes)
    tokenizer = types.SimpleNamespace(vocab_size=64)
    monkeypatch.setattr(assemble, "train_tokenizer", lambda config: tokenizer)
    with pytest.raises(ValueError, match=reason):
        train.train(small, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
