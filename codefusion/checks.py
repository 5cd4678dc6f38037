"""Holds a config to its defaults, to ranges, and to the constructors it chooses.

`config.validate` and `config.check` are the way in. Every error is one ValueError of
one line: the full dotted key, what it is, and what it should be.
"""

import difflib
import fnmatch
import inspect
import math
import numbers
from collections.abc import Mapping
from typing import NamedTuple

import ml_collections

# Keys that may be None although their default is not.
OPTIONAL = ("*.data_dir",)
_EXPECTED = {
    "bool": "True or False",
    "int": "an integer",
    "float": "a finite number",
    "str": "a string",
    "tuple": "a tuple or list",
    "section": "a section (a dict)",
    "None": "None",
}
_TYPES = {
    "bool": bool,
    "float": numbers.Real,
    "str": str,
    "tuple": (tuple, list),
    "section": (Mapping, ml_collections.ConfigDict),
}


class Rule(NamedTuple):
    """A range: keys that match `pattern` pass `test`, which `text` puts in words."""

    pattern: str
    test: object
    text: str


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _at_least(pattern, low):
    return Rule(pattern, lambda v: _is_number(v) and v >= low, f"at least {low}")


def _above(pattern, low):
    return Rule(pattern, lambda v: _is_number(v) and v > low, f"more than {low}")


def _between(pattern, low, high):
    def test(value):
        return _is_number(value) and low <= value <= high

    return Rule(pattern, test, f"between {low} and {high}")


def _fraction(pattern):
    def test(value):
        return _is_number(value) and 0 <= value < 1

    return Rule(pattern, test, "at least 0 and less than 1")


def _one_of(pattern, *choices):
    return Rule(pattern, lambda v: v in choices, f"one of {', '.join(choices)}")


def _all(pattern, test, text):
    def every(values):
        return isinstance(values, (tuple, list)) and all(test(v) for v in values)

    return Rule(pattern, every, text)


def _is_weighted_name(value):
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and isinstance(value[0], str)
        and _is_number(value[1])
        and 0 < value[1]
    )


# None passes every rule: whether it is allowed is a matter of type.
RULES = (
    _between("seed", 0, 2**32 - 1),
    _between("*.seed", 0, 2**32 - 1),
    _at_least("*.num_steps", 0),
    _at_least("sampler.num_steps", 1),
    _between("source.num_neighbors", 0, 16),
    _between("source.pool", 1, 64),
    _at_least("inference.num_contexts", 1),
    _between("sampler.eta", 0, 1),
    _one_of("sampler.spacing", "time", "log_snr"),
    Rule("*.top_p", lambda v: _is_number(v) and 0 < v <= 1, "above 0, at most 1"),
    _at_least("sampler.length_penalty", 0),
    _at_least("inference.guidance", 0),
    _at_least("inference.*temperature", 0),
    _at_least("*.batch_size", 1),
    _at_least("*.microbatches", 1),
    _between("data.source_length", 2, 8192),
    _between("data.target_length", 2, 8192),
    _at_least("data.size", 1),
    _one_of("data.scheme", "random", "released"),
    _between("tokenizer.vocab_size", 8, 2**20),
    _between("tokenizer.character_coverage", 0.98, 1),
    _at_least("tokenizer.max_piece_length", 1),
    _at_least("tokenizer.max_training_sentences", 1),
    _at_least("model.*width", 1),
    Rule("model.head_width", lambda v: v % 2 == 0, "an even number"),  # rotated halves
    _at_least("model.num_heads", 1),
    _at_least("model.encoder_layers", 1),
    _at_least("model.decoder_layers", 0),
    _at_least("model.denoiser_layers", 1),
    _at_least("model.alignment_rounds", 0),
    _fraction("*dropout"),
    _one_of("model.remat_policy", "nothing", "dots"),
    _one_of("model.dtype", "float32", "bfloat16"),
    _one_of("model.attention", "default", "xla", "cudnn", "pallas"),
    _above("diffusion.embedding_scale", 0),
    _above("diffusion.times.power", 0),
    _at_least("diffusion.loss.*_weight", 0),
    _between("diffusion.loss.padding_weight", 0, 1),
    _fraction("diffusion.schedule.offset"),
    _at_least("diffusion.schedule.beta_min", 0),
    _above("diffusion.schedule.beta_max", 0),
    _between("pretraining.*_weight", 0, 1),
    _between("training.self_conditioning", 0, 1),
    _at_least("training.estimate_noise", 0),
    _between("pretraining.mask_rate", 0, 1),
    _one_of("pretraining.masked", "spans", "run"),
    _all("pretraining.corpora", lambda v: isinstance(v, str), "a list of corpus names"),
    _all("*.mixture", _is_weighted_name, 'pairs like ("generated", 0.3), weight > 0'),
    _fraction("*.ema_decay"),
    _above("*.learning_rate", 0),
    _at_least("*.warmup_steps", 0),
    _between("*.final_fraction", 0, 1),
    _at_least("*.weight_decay", 0),
    _fraction("*.b[12]"),
    _at_least("*.clip_norm", 0),
    _fraction("*.momentum"),
    _at_least("*.newton_schulz_steps", 1),
    _at_least("training.checkpoint_every", 1),
    _above("training.checkpoint_minutes", 0),
    _at_least("training.log_every", 1),
    _at_least("training.eval_every", 0),
    _at_least("training.max_to_keep", 1),
    _one_of("training.on_non_finite", "stop", "skip"),
    _at_least("training.watchdog_minutes", 0),
    _above("training.compile_budget", 0),
    _at_least("inference.num_candidates", 1),
    _at_least("inference.num_draws", 1),
    _at_least("inference.num_repairs", 0),
    _at_least("inference.num_beams", 0),
    _one_of("inference.denoiser", "scanned", "resident"),
    _one_of("evaluation.split", "train", "validation", "test"),
    _at_least("evaluation.max_rows", 0),
    _all("evaluation.metrics", lambda v: isinstance(v, str), "a list of metric names"),
)


def check_section(table, section, path, *, injected=(), subsections=()):
    """Returns a choosing section as a dict, held to the signature of its constructor.

    Args:
      table: name -> constructor.
      section: a section with `name` and the constructor's arguments.
      path: the section's dotted key, for the error.
      injected: names of the arguments that the program itself supplies.
      subsections: keys that hold a choice of their own, checked elsewhere.
    """
    section = plain(section)
    check_name(section, table, path)
    parameters, is_open = _parameters(table[section["name"]], injected)
    for key in {} if is_open else section:
        if key not in {"name", *parameters, *subsections}:
            taken = ", ".join(sorted(parameters)) or "no arguments"
            anew = f", or a new section: {path}={{'name': '{section['name']}', ...}}"
            raise ValueError(
                f"{_join(path, key)} is {show(section[key])}, but "
                f"{path} {section['name']!r} ignores it"
                f"; expected {taken}{_suggest(path, key, parameters) or anew}."
            )
    for key, parameter in parameters.items():
        if key in section:
            kinds = _kinds_of(parameter)
            section[key] = _coerce(section[key], kinds, _join(path, key))
        elif parameter.default is inspect.Parameter.empty:
            raise ValueError(
                f"{_join(path, key)} is missing; {path} {section['name']!r} needs it."
            )
    return section


def check_name(section, table, path):
    """Raises ValueError unless the section's name is in the table."""
    name = section.get("name") if isinstance(section, dict) else None
    if not isinstance(name, str) or name not in table:
        got = show(name if isinstance(section, dict) else section)
        raise ValueError(
            f"{_join(path, 'name')} is {got}{_listing(table)}"
            f"{_suggest('', name, table)}."
        )


def check_known(section, defaults, path="", known=()):
    """Returns a section with every value held to the type of its default.

    Args:
      section: nested dicts.
      defaults: the same of the base.
      path: the section's dotted key, for the error.
      known: every dotted key of the base, to suggest from.
    """
    chooses = "name" in defaults
    if chooses and not isinstance(section.get("name"), str):
        got = show(section["name"]) if "name" in section else "missing"
        raise ValueError(f"{_join(path, 'name')} is {got}; expected a string.")
    if chooses and section["name"] != defaults["name"]:
        defaults = {}
    checked = {}
    for key, value in section.items():
        if key not in defaults and not (chooses and _is_key(key)):
            raise ValueError(
                f"{_join(path, key)} is not a key of the config"
                f"{_suggest(path, key, defaults, known) or _listing(defaults)}."
            )
        place = _join(path, key)
        checked[key] = _check_value(value, defaults.get(key), place, known)
    for key, default in defaults.items():
        if key not in section and not chooses:
            kind = _EXPECTED[_kind(default)]
            raise ValueError(f"{_join(path, key)} is missing; expected {kind}.")
    return checked


def check_key(key, defaults):
    """Raises ValueError where a section's defaults leave no room for a dotted key."""
    section, path = defaults, ""
    for part in key.split("."):
        if is_section(section) and "name" in section and part not in section:
            return
        if not is_section(section) or part not in section:
            siblings = section if is_section(section) else ()
            hint = _suggest(path, part, siblings, tuple(flatten(defaults)))
            raise ValueError(f"{key} is not a key of the config{hint}.")
        section, path = section[part], _join(path, part)


def check_ranges(flat):
    """Raises ValueError at the first value that a rule forbids.

    Args:
      flat: dotted key -> value.
    """
    for key, value in flat.items():
        for rule in RULES:
            matches = fnmatch.fnmatchcase(key, rule.pattern)
            if matches and value is not None and not rule.test(value):
                raise ValueError(f"{key} is {show(value)}; expected {rule.text}.")


def _check_value(value, default, path, known):
    if isinstance(default, dict) and isinstance(value, dict):
        return check_known(value, default, path, known)
    kinds = () if default is None else (_kind(default),)
    return _coerce(value, kinds, path)


def _coerce(value, kinds, path):
    """Returns the value in the form of the first of the kinds that it fits."""
    if value is None and any(fnmatch.fnmatchcase(path, p) for p in OPTIONAL):
        return None
    given = _kind(value)
    if not _is_storable(value):
        wanted = [_EXPECTED[k] for k in kinds or ("float", "str", "tuple")]
        raise ValueError(f"{path} is {show(value)}; expected {' or '.join(wanted)}.")
    if not kinds or given in kinds:
        return value
    if given == "int" and "float" in kinds:
        return float(value)
    wanted = " or ".join(_EXPECTED[kind] for kind in kinds)
    raise ValueError(f"{path} is {show(value)}; expected {wanted}.")


def _is_storable(value):
    """Returns whether JSON can hold the value and give it back."""
    kind = _kind(value)
    if kind == "tuple":
        return all(_is_storable(item) for item in value)
    if kind == "float":
        return math.isfinite(value)
    return kind is not None


def _kind(value):
    """Returns the name of a value's kind, or None for what no config can hold."""
    if value is None:
        return "None"
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return "int"
    for kind, types in _TYPES.items():
        if isinstance(value, types):
            return kind
    return None


def _parameters(constructor, injected):
    """Returns a constructor's arguments by name, and whether it takes any key."""
    fixed = {*injected, "name", "parent", "self"}  # linen adds name and parent
    given = inspect.signature(constructor).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    is_open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in given)
    own = {p.name: p for p in given if p.kind in named and p.name not in fixed}
    return own, is_open


def _kinds_of(parameter):
    """Returns the kinds that an argument takes; () is any."""
    note = parameter.annotation
    if note is not inspect.Parameter.empty:
        text = note if isinstance(note, str) else getattr(note, "__name__", str(note))
        parts = tuple(part.split("[")[0].strip() for part in text.split("|"))
        return parts if all(part in _EXPECTED for part in parts) else ()
    if parameter.default in (None, inspect.Parameter.empty):
        return ()
    kind = _kind(parameter.default)
    return (kind,) if kind else ()


def find(config, path):
    """Returns the parent section of a dotted key and its last part; None if absent."""
    *parents, key = path.split(".")
    for parent in parents:
        if not is_section(config) or parent not in config:
            return None, key
        config = config[parent]
    return (config if is_section(config) else None), key


def is_section(value):
    """Returns whether a value is a dict or a ConfigDict."""
    return isinstance(value, _TYPES["section"])


def plain(value):
    """Returns nested dicts and tuples for ConfigDicts, dicts, lists and tuples."""
    if isinstance(value, ml_collections.ConfigDict):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(plain(item) for item in value)
    return value


def flatten(config, path=""):
    """Returns dotted key -> value for every value of a config."""
    flat = {}
    for key, value in plain(config).items():
        if isinstance(value, dict):
            flat.update(flatten(value, _join(path, key)))
        else:
            flat[_join(path, key)] = value
    return flat


def _is_key(key):
    return isinstance(key, str) and key.isidentifier()


def _join(path, key):
    key = key if _is_key(key) else repr(key)
    return f"{path}.{key}" if path else key


def _suggest(path, key, siblings, known=()):
    """Returns "; did you mean ..." with the nearest right key, or nothing."""
    near = difflib.get_close_matches(str(key), [*siblings], n=1, cutoff=0.6)
    same = [other for other in known if other.rpartition(".")[2] == key]
    choices = [_join(path, sibling) for sibling in near] + same
    return f"; did you mean {choices[0]}" if choices else ""


def _listing(keys):
    return f"; expected one of {', '.join(sorted(map(str, keys)))}"


def show(value):
    """Returns a value as one short line."""
    text = repr(plain(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
