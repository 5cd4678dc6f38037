"""A whole plan, of a small model: on one CPU here, on eight chips with libtpu."""

import dataclasses
import json
import os
import pathlib
import queue

import jax
import pytest

from codefusion import assemble, main, sharding
from codefusion import config as configs
from codefusion.planning import (
    chips,
    collectives,
    compiling,
    plan,
    programs,
    remedies,
    report,
    sweep,
)
from pallas_kernels import deviceless

ROOT = pathlib.Path(__file__).parents[2]


def small_config(**changes):
    """Returns a checked config whose programs compile in seconds."""
    c = configs.base()
    c.data.update(source_length=8, target_length=6)
    c.tokenizer.vocab_size = 64
    c.model.update(width=16, embedding_width=8, num_heads=2, head_width=8, mlp_width=32)
    c.model.update(encoder_layers=1, denoiser_layers=1, decoder_layers=1)
    c.model.update(self_conditioning=False, alignment_rounds=0, head=dict(name="token"))
    c.training.update(batch_size=8, self_conditioning=0.0)
    c.training.optimizer = dict(name="adamw")
    c.sampler.num_steps = 4
    c.inference.update(num_candidates=1, num_draws=2)
    for key, value in changes.items():
        section, _, name = key.partition("__")
        c[section][name] = value
    return assemble.check(c)


class OneCPU(chips.Topology):
    """This machine as a topology."""

    num_devices = 1

    def devices(self):
        return jax.devices("cpu")[:1]


CANNED = programs.Compiled(
    arguments=10_000_000,
    outputs=1000,
    temporaries=2_000_000,
    code=3_000_000,
    flops=1e6,
    hbm_bytes=1e7,
    collectives=(
        collectives.Collective("all-gather", (), (0,), 2, 1000.0, 500.0, "bf16"),
    ),
    unknown_loops=1,
    seconds=1.0,
)


@pytest.fixture
def canned(monkeypatch):
    """A compiler that knows one answer; gives what it was asked, (program, rows)."""
    asked = []

    def compile_apart(setting, program, rows):
        asked.append((program, rows))
        if rows > 100:
            raise programs.DoesNotFitError("it does not fit", 2**40)
        return dataclasses.replace(CANNED, temporaries=1_000_000_000 * rows // 2)

    monkeypatch.setattr(compiling, "compile_apart", compile_apart)
    return asked


def cpu_topology():
    return OneCPU("gpu", (1,))


def test_a_plan_has_the_memory_flops_and_time_of_both_programs(canned):
    config, lines = small_config(), []
    found = plan.make(config, cpu_topology(), fit=False, say=lines.append)
    assert canned == [("training_step", 8), ("sampler", 1)]
    assert len(lines) == 2
    assert found.fits
    number = sum(found.parameters.values())
    params = programs.Setting(config, "training", cpu_topology()).params
    assert number == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert found.held["parameters"] == found.held["average"] == 4 * number
    assert found.held["optimizer"] >= 8 * number  # both moments of Adam
    for program in (found.step, found.sampler):
        assert program.roofline.compute > 0
        assert program.traffic[0].seconds == 2 * 500 / 450e9
    assert found.sampler.flops.parts["denoiser"] > 0
    text = report.render(found)
    for words in (
        "**Fits**: 3.74 GiB of 59.33 GiB",
        f"{number:,}",
        "ours: denoiser",
        "compiler's own count",
        "1 loops of unknown length",
    ):
        assert words in text
    again = json.loads(json.dumps(plan.to_json(found)))
    assert again["step"]["flops"]["model"] == found.step.flops.model


def test_the_largest_batch_is_one_that_was_compiled(canned):
    found = plan.make(small_config(), cpu_topology(), sampler=False, say=str)
    rows = found.fit.batch_size
    assert ("training_step", rows) in canned
    assert 50 < rows <= 100
    assert f"{rows} rows" in report.render(found)


def test_a_step_that_does_not_fit_has_its_changes(canned):
    config = small_config(training__batch_size=256)
    found = plan.make(config, cpu_topology(), sampler=False, say=str)
    assert (found.fits, found.step, found.needed) == (False, None, 2**40)
    assert [tried.fits for tried in found.remedies] == [False] * len(found.remedies)
    text = report.render(found)
    assert "**Does not fit**: needs 1,024.00 GiB" in text
    assert "Tried: --config.model.scan_layers=True --config.model.remat=True" in text
    assert "No change of layout, remat or microbatches fits" in text


def test_advice_is_given_where_it_was_looked_for(canned):
    config = small_config(training__batch_size=256)
    options = dict(fit=False, sampler=False, say=str)
    text = report.render(plan.make(config, cpu_topology(), **options))
    assert "not looked for (--nofit)" in text
    assert "Change:" not in text and "more devices" not in text


@pytest.mark.slow
def test_both_programs_compile_on_a_cpu():
    setting = programs.Setting(small_config(), "training", cpu_topology())
    state = setting.state
    for compiled, reads in (
        (programs.training_step(setting, 8), state),
        (programs.sampler(setting, 2), state.ema_params),  # all but what guides
    ):
        assert compiled.arguments > 0.95 * sharding.bytes_per_device(reads)
        assert compiled.peak > compiled.arguments
        assert compiled.hbm_bytes > compiled.arguments
        assert compiled.flops > 0
        assert compiled.collectives == ()


def test_parameters_by_part_name_the_tables():
    params = {"a": {"embedding": jax.numpy.zeros((3, 2)), "b": jax.numpy.zeros(4)}}
    assert plan.parameters_by_part(params) == {"a/embedding": 6, "a": 4}


def test_rows_that_cannot_be_shared_are_an_error():
    config = small_config(training__batch_size=24, training__microbatches=3)
    setting = without_devices(config, "v5e:2x4", data=2, fsdp=4)
    plan.check_rows(setting, 48)
    with pytest.raises(
        ValueError, match="training.batch_size is 32; .* multiple of 24"
    ):
        plan.check_rows(setting, 32)


def test_a_compiler_that_crashes_is_an_error_and_not_the_end(monkeypatch):
    monkeypatch.setattr(compiling, "_CHILD", "import os; os.abort()")
    setting = programs.Setting(small_config(), "training", cpu_topology())
    with pytest.raises(programs.CompilationError, match="ended itself with SIGABRT"):
        compiling.compile_apart(setting, "training_step", 8)


def test_a_compilation_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(compiling, "_CHILD", "import time; time.sleep(60)")
    setting = programs.Setting(small_config(), "training", cpu_topology())
    with pytest.raises(programs.CompilationError, match="more than 0.01 minutes"):
        compiling.compile_apart(setting, "training_step", 8, minutes=0.01)


def test_an_exception_of_the_other_process_is_told_with_its_line(monkeypatch):
    monkeypatch.setattr(compiling, "_CHILD", "raise ValueError('no such layout')")
    setting = programs.Setting(small_config(), "training", cpu_topology())
    with pytest.raises(programs.CompilationError, match="ValueError: no such layout"):
        compiling.compile_apart(setting, "training_step", 8)


def test_a_compilation_ends_with_the_process_that_asked_for_it():
    pipe, held = os.pipe()
    ended = queue.SimpleQueue()
    compiling.end_with_parent(pipe, ended.put)
    with pytest.raises(queue.Empty):
        ended.get(timeout=0.05)
    os.close(held)
    assert ended.get(timeout=10) == 1
    os.close(pipe)


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        ("Used 30.11G of 15.75G hbm. Exceeded hbm capacity", int(30.11 * 2**30)),
        ("temporaries (1.00T) exceeds available HBM (15.75G).", 2**40),
        ("something else", None),
    ],
)
def test_what_a_compiler_lacks_is_read_from_its_words(message, needed):
    assert programs.bytes_needed(message) == needed


def without_devices(config, text, **mesh):
    """Returns a Setting with a mesh of a shape and no devices."""
    setting = programs.Setting(config, "training", chips.parse(text))
    axes = dict(zip(("data", "fsdp", "tensor"), (1, 1, 1), strict=True)) | mesh
    made = jax.sharding.AbstractMesh(tuple(axes.values()), tuple(axes))
    setting.__dict__["mesh"] = made
    return setting


BY_TENSOR = {"sharding.data": -1, "sharding.fsdp": 4, "sharding.tensor": 2}


def test_changes_for_memory_come_in_the_order_of_their_price():
    config = small_config(training__batch_size=64)
    setting = without_devices(config, "v5e:2x4", data=8)
    changes = remedies.candidates(setting)
    assert changes[0] == {"sharding.data": -1, "sharding.fsdp": 8}
    assert changes[1] == {"model.scan_layers": True, "model.remat": True}
    parts = [
        c["training.microbatches"] for c in changes if "training.microbatches" in c
    ]
    assert parts == [4, 8]
    assert changes[-1] == BY_TENSOR


def test_what_is_done_already_is_no_change():
    config = small_config(
        model__scan_layers=True, model__remat=True, training__batch_size=8
    )
    setting = without_devices(config, "v5e:2x4", fsdp=8)
    assert remedies.candidates(setting) == [BY_TENSOR]


def test_sensible_layouts_use_every_device_and_share_every_row():
    config = small_config(training__batch_size=512, model__num_heads=4)
    for text, slices in (("v5e:2x4", 1), ("v5e:16x16", 2), ("gpu:8", 1)):
        topology = chips.parse(text, num_slices=slices)
        found = sweep.layouts(config, topology, "training")
        assert len(found) == len(set(found)) > 3
        for data, fsdp, tensor in found:
            assert data * fsdp * tensor == topology.num_devices
            assert data % slices == 0
            assert 512 % (data * fsdp) == 0
            assert 4 % tensor == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "plan needs --config=FILE"),
        (("--config=configs/tiny.py",), "plan needs --topology"),
        (
            ("--config=configs/tiny.py", "--topology=v5e:2x4", "--out=x.txt"),
            "ending in .json or .md",
        ),
        (("--config=configs/tiny.py", "--topology=v5e"), "such as v5e:16x16"),
        (
            ("--config=configs/tiny.py", "--topology=v5e:2x4", "--sweep", "--nofit"),
            "leave out --[no]fit.",
        ),
    ],
)
def test_the_command_says_what_is_missing(words, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main.main(["codefusion", "plan", *words]) == 1
    assert message in capsys.readouterr().err


def test_without_a_compiler_the_command_says_what_to_install(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(deviceless, "is_available", lambda: False)
    words = ["--config=configs/tiny.py", "--topology=v5e:2x4"]
    assert main.main(["codefusion", "plan", *words]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install libtpu" in line


needs_libtpu = [
    pytest.mark.tpu_compile,
    pytest.mark.skipif(not deviceless.is_available(), reason="libtpu is not installed"),
]


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    """A config file of the small model."""
    folder = tmp_path_factory.mktemp("plan")
    folder.joinpath("small.json").write_text(configs.to_json(small_config()))
    file = folder / "small.py"
    file.write_text(
        "import pathlib\nfrom codefusion import config\n\n\ndef get_config():\n"
        f"    path = pathlib.Path({str(folder / 'small.json')!r})\n"
        "    return config.from_json(path.read_text())\n"
    )
    return file


class TestOnChips:
    pytestmark = [*needs_libtpu, pytest.mark.slow]

    def test_the_command_writes_a_plan(self, config_file, tmp_path, capsys):
        out = tmp_path / "plans" / "small.json"
        words = [f"--config={config_file}", "--topology=v5e:2x4", f"--out={out}"]
        sizes = ["--config.sharding.fsdp=4", "--nofit"]
        assert main.main(["codefusion", "plan", *words, *sizes]) == 0
        found = json.loads(out.read_text())
        assert found["mesh"] == {"data": 2, "fsdp": 4, "tensor": 1}
        kinds = {(x["kind"], x["axes"]) for x in found["step"]["traffic"]}
        assert ("all-gather", "fsdp") in kinds
        assert found["step"]["unknown_loops"] == 0
        assert "**Fits**" in capsys.readouterr().out

    def test_a_step_that_does_not_fit_is_told_with_what_to_change(self, config_file):
        config = small_config(training__batch_size=2**21)
        found = plan.make(config, chips.parse("v5e:1x1"), sampler=False)
        assert not found.fits
        assert found.needed > found.chip.hbm_bytes
        assert found.remedies[-1].fits
        assert found.remedies[-1].peak <= found.chip.hbm_bytes
        assert 0 < found.fit.batch_size < 2**21
        assert "Does not fit" in report.render(found)

    def test_layouts_are_ranked(self, config_file, capsys):
        words = [f"--config={config_file}", "--topology=v5e:2x2", "--sweep"]
        assert main.main(["codefusion", "plan", *words]) == 0
        rows = capsys.readouterr().out.splitlines()[2:]
        assert len(rows) > 3


def test_a_sweep_tells_what_does_not_fit_last():
    entry = sweep.Entry(
        mesh=dict(data=8, fsdp=1, tensor=1),
        fits=False,
        needed=2**35,
        step=None,
        reason="parameters and optimizer alone",
        peak_flops=1.0,
    )
    text = report.render_sweep([entry, dataclasses.replace(entry, needed=None)])
    assert "32.00 GiB" in text
    assert "parameters and optimizer alone" in text
