"""Which files of scores are of one config, or of configs that differ in seeds alone."""

import functools
import inspect
import json

from codefusion import assemble, workdirs
from codefusion import config as configs

KEYS = ("seed", "evaluation.seed")
_ABSENT = "(absent)"  # as `configs.diff` puts it
_UNKNOWN = inspect.Parameter.empty


def differences(old, new):
    """Returns the keys in which two configs differ, list of str.

    A setting that only one of them has is none where it has its default: a setting that
    is added later changes nothing by that.

    Args:
      old, new: ConfigDicts or dicts.
    """
    pairs = configs.diff(*map(_completed, (old, new)))
    # What is not the same class differs in its name, which is a key as well.
    names = configs.diff({}, new)
    return [
        key
        for key, pair in pairs.items()
        if _ABSENT not in pair or _default(key, names) not in pair
    ]


def _completed(config):
    return workdirs.completed(json.loads(configs.to_json(config)))


def _default(key, names):
    """Returns what a setting is where a config lacks it, or _UNKNOWN.

    Args:
      key: dotted.
      names: dotted key -> (_, value) of the config, for the classes that it chooses.
    """
    section, _, last = key.rpartition(".")
    choices = _choices().get(section)
    if choices is None:
        return _of_base().get(key, (None, _UNKNOWN))[1]
    _, name = names.get(f"{section}.name", (None, None))
    if name not in choices:
        return _UNKNOWN
    parameters = inspect.signature(choices[name]).parameters
    return parameters[last].default if last in parameters else _UNKNOWN


@functools.cache
def _choices():
    """Returns the classes that each choosing section may name, by its dotted key."""
    tables = assemble.tables().items()
    return {key: t[0] if isinstance(t, tuple) else t for key, t in tables}


@functools.cache
def _of_base():
    return configs.diff({}, configs.base())


def check_poolable(found, others, *, title):
    """Raises ValueError unless scores and others differ in seeds alone, but do differ.

    Args:
      found: what `read_scores` returned, dict, of a data set.
      others: the same of other seeds, list.
      title: of the line that they stand in, for the error.
    """
    header = found["header"]
    for other in others:
        theirs = other["header"]
        keys = differences(theirs["config"], header["config"])
        keys += [k for k in ("split", "data_hash") if header.get(k) != theirs.get(k)]
        wrong = [key for key in keys if key not in KEYS]
        if wrong or not keys:
            how = f"differ in {', '.join(wrong)}" if wrong else "have the same seeds"
            raise ValueError(
                f"The line {title!r} already has scores of {header['dataset']}, and "
                f"these {how}; expected other seeds, or a line of its own."
            )
