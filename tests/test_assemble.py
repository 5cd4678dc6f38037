"""What a config becomes, and the faults that only the tables can show."""

import importlib.util
import pathlib

import jax
import pytest

from codefusion import assemble, comparisons, config, consistency, drawing
from pallas_kernels import interpreter

ROOT = pathlib.Path(__file__).parent.parent


def tiny(**sections):
    """Returns the tiny config with `section__key=value` changed."""
    path = ROOT / "configs" / "tiny.py"
    spec = importlib.util.spec_from_file_location("tiny_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.get_config()
    for key, value in sections.items():
        section, name = key.split("__")
        found[section][name] = value
    return found


@pytest.fixture(scope="module")
def tokenizer():
    """A tokenizer of few rows, as none of the tests reads its pieces."""
    return assemble.train_tokenizer(assemble.check(tiny(data__size=100)))


def fault(**sections):
    """Returns the one line with which a config is refused."""
    with pytest.raises(ValueError) as error:
        assemble.check(tiny(**sections))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("stage", ["pretraining", "training"])
def test_an_unknown_decay_of_the_rate_is_named_with_its_stage(stage):
    given = tiny()
    given[stage].optimizer.schedule = "cosin"
    with pytest.raises(ValueError, match=f"^{stage}.optimizer.schedule is 'cosin'"):
        assemble.check(given)


def test_negative_guidance_is_refused():
    with pytest.raises(ValueError, match="guidance is -2; expected at least 0"):
        consistency.check_guidance(-2, assemble.check(tiny()))


@pytest.mark.parametrize("section", ["pretraining", "training"])
def test_pairs_of_another_language_are_refused_with_those_that_would_do(section):
    line = fault(**{f"{section}__mixture": (("tldr", 0.3),)})
    assert line.startswith(f"{section}.mixture names 'tldr', whose programs are bash")
    assert "expected one of cf_rules, generated, or source.language_tag." in line


@pytest.mark.parametrize("key", ["pretraining__mixture", "training__mixture"])
def test_an_unknown_data_set_in_a_mixture_is_named_with_the_known_ones(key):
    line = fault(**{key: (("cf_rule", 0.5),)})
    assert key.replace("__", ".") in line
    assert "'cf_rule'" in line and "cf_rules" in line and "generated" in line


def test_an_unknown_corpus_is_named_with_the_known_ones():
    line = fault(pretraining__corpora=("cf_rules",))
    assert "pretraining.corpora" in line and "'cf_rules'" in line
    assert "cf_corpus" in line and "generated" not in line


def test_fewer_draws_than_candidates_is_an_error_naming_both_numbers():
    line = fault(inference__num_draws=4, inference__num_candidates=5)
    assert "inference.num_draws is 4" in line
    assert "inference.num_candidates, 5" in line


def test_as_many_draws_as_candidates_are_enough():
    checked = assemble.check(tiny(inference__num_draws=5, inference__num_candidates=5))
    assert checked.inference.num_draws == 5


def from_left_to_right(**sections):
    """Returns the tiny config of an autoregressive model with some keys changed."""
    given = tiny()
    comparisons.autoregressive(given)
    for key, value in sections.items():
        section, name = key.split("__")
        given[section][name] = value
    return given


def test_an_autoregressive_model_has_the_size_of_the_one_that_it_is_compared_with():
    plain, given = (assemble.check(c) for c in (tiny(), from_left_to_right()))
    assert given.model.encoder_layers == plain.model.encoder_layers
    assert given.model.decoder_layers == (
        plain.model.denoiser_layers + plain.model.decoder_layers
    )
    built = [assemble.parts(c, vocab_size=60) for c in (plain, given)]
    trees = [
        jax.eval_shape(lambda c=c, b=b: assemble.init_params(c, b.model))
        for c, b in zip((plain, given), built, strict=True)
    ]
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in trees]
    assert 0.8 < sizes[1] / sizes[0] < 1.2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("inference__num_repairs", 3),
        ("inference__temperature", 0.5),
        ("inference__guidance", 2.0),
        ("training__context_dropout", 0.1),
        ("training__self_conditioning", 0.5),
    ],
)
def test_an_autoregressive_model_refuses_what_only_diffusion_has(key, value):
    with pytest.raises(ValueError, match=key.replace("__", ".")) as error:
        assemble.check(from_left_to_right(**{key: value}))
    assert "\n" not in str(error.value)


def test_each_kind_of_model_has_its_samplers():
    with pytest.raises(ValueError, match=r"sampler.name is 'ddpm'.*nucleus, beam"):
        assemble.check(_with_sampler(from_left_to_right(), "ddpm"))
    with pytest.raises(ValueError, match=r"sampler.name is 'beam'.*ddpm, ddim"):
        assemble.check(_with_sampler(tiny(), "beam"))


def _with_sampler(given, name):
    given.sampler = dict(name=name)
    return given


def test_an_unknown_choice_names_its_key():
    assert "inference.ranking" in fault(inference__ranking=dict(name="best"))


def test_an_argument_that_a_choice_does_not_take_is_an_error():
    given = tiny()
    given.sampler = dict(name="ddpm", num_steps=5, eta=0.5)
    with pytest.raises(ValueError, match="sampler.eta"):
        assemble.check(given)


def test_a_check_changes_no_config_and_is_its_own_fixed_point():
    given = tiny()
    before = config.to_json(given)
    checked = assemble.check(given)
    assert config.to_json(given) == before
    assert config.to_json(assemble.check(checked)) == config.to_json(checked)


def test_parts_take_their_numbers_from_the_config():
    given = tiny()
    given.sampler = dict(name="ddpm", num_steps=7)
    given.diffusion.loss = dict(name="paper", padding_weight=0.5)
    given.inference.rounding = dict(name="clamping")
    built = assemble.parts(assemble.check(given), vocab_size=99)
    assert built.sampler.num_steps == 7
    assert built.loss.padding_weight == 0.5
    assert not built.rounding.reads_decoder
    assert (built.model.vocab_size, built.model.width) == (99, 32)
    assert built.model.max_source_length == given.data.source_length
    assert built.model.max_target_length == given.data.target_length


def test_without_pretraining_there_is_one_stage_and_its_steps_are_the_configs(
    tokenizer,
):
    given = tiny(pretraining__num_steps=0, training__num_steps=7, data__size=100)
    given = assemble.check(given)
    built = assemble.parts(given, tokenizer.vocab_size)
    (stage,) = assemble.stages(given, tokenizer, built)
    assert (stage.name, stage.num_steps) == ("training", 7)
    again = assemble.stages(given, tokenizer, built)[0]
    assert stage.batches.content_hash == again.batches.content_hash


@pytest.mark.parametrize("stage", ["training", "pretraining"])
def test_a_mixture_that_leaves_no_share_to_the_other_data_is_an_error(stage):
    everything = {f"{stage}__mixture": (("generated", 1.0),)}
    line = fault(pretraining__corpora=("cf_corpus",), **everything)
    assert f"{stage}.mixture adds up to 1.0" in line


def test_pretraining_may_be_made_of_pairs_alone():
    shares = (("generated", 0.5), ("cf_rules", 0.5))
    given = tiny(pretraining__num_steps=3, pretraining__mixture=shares)
    assert assemble.check(given).pretraining.mixture == shares


def test_pretraining_on_nothing_is_an_error():
    nothing = dict(pretraining__corpora=(), pretraining__mixture=())
    line = fault(pretraining__num_steps=3, **nothing)
    assert "pretraining.num_steps is 3" in line and "pretraining.corpora" in line


def test_rows_too_long_to_train_on_are_counted_by_data_set(tokenizer):
    given = tiny(pretraining__num_steps=0, data__size=100, data__source_length=30)
    given = assemble.check(given)
    built = assemble.parts(given, tokenizer.vocab_size)
    (stage,) = assemble.stages(given, tokenizer, built)
    rows = stage.batches.datasets[0]
    assert stage.left_out == {"generated": (100 - len(rows), 100)} and len(rows) < 100


def test_a_data_set_mixed_with_itself_keeps_its_size_and_seed():
    given = assemble.check(tiny(data__size=100))
    main = assemble.dataset(given)
    texts = list(assemble._training_texts(given))
    assert len(main.examples("train")) == 100
    assert len(texts) == 2 * 100  # an utterance and a program each, read once


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.alignment_rounds", 2),
        ("sampler", dict(name="ddpm")),
        ("sampler.eta", 0.5),
        ("inference.rounding", dict(name="grounding")),
        ("inference.guidance", 1.5),
    ],
)
def test_one_program_of_all_steps_is_refused_what_it_lacks(key, value):
    given = tiny()
    given.model.alignment_rounds = 0
    given.inference.denoiser = "resident"
    assert assemble.check(given).inference.denoiser == "resident"
    config.put(given, key, value)
    with pytest.raises(ValueError, match=f"{key}.*resident|resident.*{key}"):
        assemble.check(given)


@pytest.mark.parametrize(
    ("name", "devices"), [("pallas", "tpu or gpu"), ("cudnn", "gpu")]
)
def test_attention_that_needs_another_device_is_refused_at_once(name, devices):
    checked = assemble.check(tiny(model__attention=name))
    with pytest.raises(ValueError) as error:
        assemble.parts(checked, vocab_size=300)
    assert str(error.value) == (
        f"model.attention is '{name}', which needs a device of {devices}; this machine "
        "has cpu. Expected 'default' or 'xla'."
    )


def test_the_interpreter_stands_for_a_device():
    checked = assemble.check(tiny(model__attention="pallas"))
    with interpreter.interpreted():
        assert assemble.parts(checked, vocab_size=300).model.attention == "pallas"


@pytest.mark.parametrize("section", ["pretraining", "training"])
def test_with_a_language_tag_pairs_of_another_language_may_be_mixed_in(section):
    mixture = {f"{section}__mixture": (("tldr", 0.3), ("python_docs", 0.2))}
    checked = assemble.check(tiny(source__language_tag=True, **mixture))
    assert assemble.languages(checked) == ["cf", "bash", "python"]
    assert assemble.request(checked, "list files", "bash") == "bash: list files"
    assert assemble.request(checked, "bold it") == "cf: bold it"
    assert assemble.request(assemble.check(tiny()), "bold it", "bash") == "bold it"


def test_what_is_evaluated_is_something_that_was_trained_on():
    line = fault(evaluation__dataset="conala")
    assert line.startswith("evaluation.dataset is 'conala'") and "generated" in line


def test_more_contexts_than_there_are_is_an_error_that_tells_how_many():
    line = fault(inference__num_contexts=2)
    assert "source.num_neighbors is 0" in line
    line = fault(source__num_neighbors=2, source__pool=4, inference__num_contexts=7)
    assert "expected at most 6" in line
    line = fault(source__num_neighbors=3, source__pool=2)
    assert line.startswith("source.pool is 2; expected at least")


def test_a_causal_decoder_has_layers_and_makes_no_repairs():
    line = fault(model__causal_decoder=True)
    assert line.startswith("inference.num_repairs is") and "expected 0" in line
    assert "decoder_layers is 0" in fault(
        model__causal_decoder=True, model__decoder_layers=0
    )


def test_beams_need_a_decoder_that_writes_by_a_plan():
    line = fault(inference__num_beams=4)
    assert line.startswith("inference.num_beams is 4") and "expected 0" in line
    with pytest.raises(ValueError, match=r"inference.num_beams is 4"):
        assemble.check(from_left_to_right(inference__num_beams=4))
    by_plan = tiny(inference__num_beams=4, model__denoiser_layers=2)
    config.write_by_plan(by_plan)
    assert assemble.check(by_plan).inference.num_beams == 4


@pytest.mark.parametrize(("asked", "made"), [(8, 8), (5, 8), (3, 4)])
def test_beams_are_those_of_whole_plans(asked, made):
    given = tiny(inference__num_beams=4, model__denoiser_layers=2)
    config.write_by_plan(given)
    given = assemble.check(given)
    parts = assemble.parts(given, vocab_size=99)
    plan = drawing.Plan.make(parts, given, given.inference, asked)
    assert (plan.num_draws, plan.num_beams) == (made, 4)
