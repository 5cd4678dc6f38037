"""What a header tells of a model's size and cost, where it is known."""

import importlib.metadata
import json
import re
import socket
import types

import numpy as np
import pytest

from codefusion.commands import provenance
from codefusion.evaluation import predict

SECONDS = {"steps": 100.0, "compilation": 20.0, "evaluation": 7.0, "lost": 3.0}


@pytest.fixture
def model():
    """As much of a Generator as is asked for, at the end of its training."""
    stages = {
        name: types.SimpleNamespace(num_steps=steps)
        for name, steps in (("pretraining", 30), ("training", 20))
    }
    params = {"a": np.ones((3, 4)), "b": {"c": np.ones(5)}}
    config = types.SimpleNamespace(**stages)
    return types.SimpleNamespace(params=params, step=50, config=config, retrieval=None)


def test_all_that_is_known_fits_the_header(model, tmp_path):
    (tmp_path / "goodput.json").write_text(json.dumps({"seconds": SECONDS}))
    found = provenance.facts(model, tmp_path)
    assert (found["parameters"], found["training_seconds"]) == (17, 123.0)
    kinds = predict.OPTIONAL_FIELDS
    assert {key: type(value) for key, value in found.items()} == kinds


@pytest.mark.parametrize(
    "text", ["", "[]", '{"seconds": 3}', '{"seconds": {"a": "b"}}']
)
def test_without_an_account_the_time_is_left_out(text, model, tmp_path):
    assert "training_seconds" not in provenance.facts(model, tmp_path)
    (tmp_path / "goodput.json").write_text(text)
    assert "training_seconds" not in provenance.facts(model, tmp_path)


def test_the_time_of_a_run_is_not_that_of_a_checkpoint_before_its_end(model, tmp_path):
    (tmp_path / "goodput.json").write_text(json.dumps({"seconds": SECONDS}))
    model.step = 40
    assert provenance.training_seconds(tmp_path, model) is None


def test_the_hardware_is_a_number_and_a_kind_and_names_no_host():
    assert re.fullmatch(r"\d+ x \S.*", provenance.hardware())
    assert socket.gethostname() not in provenance.hardware()


def test_another_program_is_another_hash(model, monkeypatch):
    found = [provenance.program(model)]
    assert provenance.program(model) == found[0]
    model.params["b"]["c"] = 2 * model.params["b"]["c"]
    found.append(provenance.program(model))
    neighbors = types.SimpleNamespace(to_bytes=lambda: b"programs")
    model.retrieval = types.SimpleNamespace(neighbors=neighbors)
    found.append(provenance.program(model))
    monkeypatch.setattr(provenance, "_CODE", provenance._code() + "changed")
    found.append(provenance.program(model))
    assert len(set(found)) == 4


def test_the_code_is_that_of_both_packages_and_what_lies_below(monkeypatch, tmp_path):
    found = [provenance._code()]
    assert found[0] == provenance._CODE
    for name in ("codefusion", "pallas_kernels"):
        (tmp_path / "kernel.py").write_text(name)
        package = types.SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
        with monkeypatch.context() as patch:
            patch.setattr(provenance, name, package)
            found.append(provenance._code())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0")
    found.append(provenance._code())
    assert len(set(found)) == 4
