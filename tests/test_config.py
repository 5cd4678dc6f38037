import dataclasses
import random

import pytest

from codefusion import checks, config


@dataclasses.dataclass(frozen=True)
class Ddim:
    num_steps: int
    eta: float = 0.0
    spacing: str = "time"


@dataclasses.dataclass(frozen=True)
class Ddpm:
    num_steps: int
    vocab_size: int
    spacing: str = "time"
    clip: float | None = None


SAMPLERS = {"ddim": Ddim, "ddpm": Ddpm}
TABLES = {"sampler": (SAMPLERS, ("vocab_size",))}


def with_(changes):
    """Returns base() as nested dicts with dotted keys set; ... as value removes."""
    plain = checks.plain(config.base())
    for dotted, value in changes.items():
        *parents, key = dotted.split(".")
        section = plain
        for parent in parents:
            section = section[parent]
        section.pop(key, None)
        if value is not ...:
            section[key] = value
    return plain


def error_of(changes):
    with pytest.raises(ValueError) as caught:
        config.check(with_(changes), TABLES)
    return str(caught.value)


def test_the_base_is_valid_and_stays_as_it_is():
    assert config.diff(config.base(), config.check(config.base(), TABLES)) == {}


def test_each_base_is_a_fresh_one():
    first = config.base()
    first.training.optimizer.learning_rate = 7.0
    assert config.base().training.optimizer.learning_rate != 7.0
    assert first.pretraining.optimizer.learning_rate != 7.0


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"training.num_step": 3}, ["training.num_step", "training.num_steps"]),
        ({"trainig": {}}, ["trainig", "training"]),
        ({"learning_rate": 1.0}, ["learning_rate", "optimizer.learning_rate"]),
        ({"training.num_steps": "many"}, ["training.num_steps", "'many'", "integer"]),
        ({"training.num_steps": True}, ["training.num_steps", "True", "integer"]),
        ({"training.num_steps": ...}, ["training.num_steps", "missing", "integer"]),
        ({"model.remat": 1}, ["model.remat", "1", "True or False"]),
        ({"model": 3}, ["model", "3", "section"]),
        ({"seed": -1}, ["seed", "-1", "between 0 and"]),
        ({"model.dropout": 1.0}, ["model.dropout", "1.0", "less than 1"]),
        ({"model.head_width": 7}, ["model.head_width", "7", "even"]),
        ({"diffusion.times.power": -1}, ["diffusion.times.power", "-1"]),
        ({"diffusion.loss.x0_weight": -3}, ["diffusion.loss.x0_weight", "-3"]),
        ({"diffusion.loss.padding_weight": 5}, ["diffusion.loss.padding_weight", "5"]),
        ({"diffusion.schedule.offset": -1}, ["diffusion.schedule.offset", "-1"]),
        ({"tokenizer.character_coverage": 7}, ["character_coverage", "7"]),
        ({"model.alignment_rounds": -1}, ["model.alignment_rounds", "-1", "at least"]),
        (
            {"training.optimizer.newton_schulz_steps": 0},
            ["training.optimizer.newton_schulz_steps", "0", "at least 1"],
        ),
        ({"training.optimizer.momentum": 1.0}, ["momentum", "1.0", "less than 1"]),
        ({"sampler.eta": float("nan")}, ["sampler.eta", "nan", "finite"]),
        ({"inference.guidance": None}, ["inference.guidance", "None", "number"]),
        ({"sampler.name": "dim"}, ["sampler.name", "'dim'", "ddim, ddpm"]),
        ({"sampler.name": 3}, ["sampler.name", "3", "string"]),
        ({"sampler.name": ...}, ["sampler.name", "missing"]),
        (
            {"sampler.name": "ddpm"},
            ["sampler.eta", "0.0", "sampler={'name': 'ddpm', ...}"],
        ),
        ({"sampler.spacin": "time"}, ["sampler.spacin", "sampler.spacing"]),
        ({"sampler": {"name": "ddim"}}, ["sampler.num_steps", "missing"]),
        (
            {"sampler": {"name": "ddpm", "num_steps": 2, "vocab_size": 9}},
            ["sampler.vocab_size", "ignores"],
        ),
        (
            {"sampler": {"name": "ddpm", "num_steps": 2.5}},
            ["sampler.num_steps", "2.5", "integer"],
        ),
        ({"training.mixture": (("a", -1.0),)}, ["training.mixture", "-1.0"]),
        ({"sampler": {"name": "ddpm", "top_p": "a"}}, ["sampler.top_p", "'a'"]),
    ],
)
def test_an_error_names_the_key_the_value_and_what_is_right(changes, parts):
    message = error_of(changes)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


def test_values_of_equal_meaning_are_equal_as_json():
    loose = with_({"training.optimizer.b1": 0, "training.mixture": [["generated", 1]]})
    strict = with_(
        {"training.optimizer.b1": 0.0, "training.mixture": (("generated", 1),)}
    )
    assert config.to_json(config.validate(loose)) == config.to_json(
        config.validate(strict)
    )
    assert config.to_json(config.base()) != config.to_json(
        config.validate(with_({"seed": 1}))
    )


def test_none_is_allowed_where_it_is_documented():
    checked = config.validate(with_({"data.data_dir": None}))
    assert checked.data.data_dir is None
    section = {"name": "ddpm", "num_steps": 3, "clip": None}
    checked = config.check(with_({"sampler": section}), TABLES)
    assert checked.sampler.clip is None


def test_json_gives_back_the_same_config():
    checked = config.check(with_({"training.mixture": [["generated", 0.25]]}), TABLES)
    back = config.from_json(config.to_json(checked))
    assert config.diff(checked, back) == {}
    assert config.to_json(checked) == config.to_json(back)


def test_diff_names_each_changed_added_and_removed_key():
    new = with_({"seed": 4, "sampler": {"name": "ddpm", "num_steps": 20, "clip": 1.0}})
    difference = config.diff(config.base(), new)
    assert difference["seed"] == (0, 4)
    assert difference["sampler.name"] == ("ddim", "ddpm")
    assert difference["sampler.eta"] == (0.0, "(absent)")
    assert difference["sampler.clip"] == ("(absent)", 1.0)
    assert "sampler.num_steps" not in difference
    assert "seed: 0 -> 4\n" in config.diff_text(config.base(), new)


def test_build_calls_the_chosen_constructor_and_injected_arguments_win():
    section = {"name": "ddpm", "num_steps": 3, "clip": {"name": "hard"}}
    built = config.build(SAMPLERS, section, vocab_size=5, clip=2.0)
    assert built == Ddpm(num_steps=3, vocab_size=5, clip=2.0)
    with pytest.raises(ValueError, match="expected one of ddim, ddpm"):
        config.build(SAMPLERS, {"name": "none"})


def test_a_subsection_is_checked_by_its_own_table():
    tables = {"model": ({"codefusion": Modular}, ("head",)), "model.head": {"copy": C}}
    plain = with_({"model": {"name": "codefusion", "head": {"name": "copy", "n": 2}}})
    assert config.check(plain, tables).model.head.n == 2
    plain["model"]["head"]["m"] = 1
    with pytest.raises(ValueError, match=r"model\.head\.m is 1, but .* ignores it"):
        config.check(plain, tables)


@dataclasses.dataclass(frozen=True)
class C:
    n: int = 1


@dataclasses.dataclass(frozen=True)
class Modular:
    head: C


@pytest.mark.parametrize("key", ["trainin.seed", "seed.x", "training.optimiser.b1"])
def test_an_override_of_a_key_that_cannot_be_is_refused(key):
    with pytest.raises(ValueError, match=f"{key} is not a key"):
        config.check_key(key)


@pytest.mark.parametrize("key", ["seed", "data.scheme", "training.optimizer.b1"])
def test_an_override_of_a_key_that_may_be_passes(key):
    config.check_key(key)


def test_a_dotted_key_is_put_into_its_section_or_refused():
    found, sampler = config.base(), dict(name="ddpm")
    config.put(found, "training.optimizer.b1", 0.5)
    config.put(found, "sampler", sampler)
    assert found.training.optimizer.b1 == 0.5 and found.sampler.to_dict() == sampler
    with pytest.raises(ValueError, match="seed.x is not a key"):
        config.put(found, "seed.x", 1)
    with pytest.raises(ValueError, match="sampler.a.b is in no section"):
        config.put(found, "sampler.a.b", 1)


WRONG_VALUES = [
    None,
    "",
    "text\nof two lines",
    -7,
    float("nan"),
    float("inf"),
    True,
    object(),
    {},
    {"a": 1},
    (),
    (object(),),
    [1, "a"],
    3.5,
    b"bytes",
    b"\xff",
    {3: 4},
    lambda: 0,
    "x" * 10_000,
    complex(1, 2),
]


def mutation(rng):
    """Returns changes to base() that, mostly, spoil it."""
    keys = [*checks.flatten(config.base()), *config.base()]
    key = rng.choice(keys)
    kind = rng.randrange(5)
    if kind == 0:
        return {key: rng.choice(WRONG_VALUES)}
    if kind == 1:
        return {key: ...}
    if kind == 2:
        position = rng.randrange(len(key))
        return {key: ..., key.replace(".", "_")[:position] + "zq": 1}
    if kind == 3:
        parent = rng.choice([k.rpartition(".")[0] for k in keys if "." in k])
        return {f"{parent}.{rng.choice(['x y', 'naame', 'é', '9', '_', 'to_dict'])}": 1}
    return {rng.choice([k for k in keys if k.endswith("name")]): rng.choice("abc")}


def test_a_thousand_malformed_configs_each_give_one_clear_error():
    rng, refused = random.Random(0), 0
    flat = checks.flatten(config.base())
    tables = {
        key.removesuffix(".name"): {name: lambda **arguments: arguments}
        for key, name in flat.items()
        if key.endswith(".name")
    } | TABLES
    while refused < 1000:
        changes = mutation(rng)
        try:
            config.to_json(config.check(with_(changes), tables))
        except ValueError as error:
            refused += 1
            message = str(error)
            assert "\n" not in message and len(message) < 1000, (changes, message)
            assert message.endswith("."), (changes, message)
            named = [key.split(".")[-1] in message for key in changes]
            assert any(named) or "width" in message, (changes, message)
