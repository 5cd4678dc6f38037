"""Splits of a data set: their names, and the random one."""

import functools
import hashlib

SPLITS = ("train", "validation", "test")


def one_of(key, value, choices, *, section="data"):
    """Raises ValueError where a value of the config is none of its choices."""
    if value not in choices:
        raise ValueError(f"{section}.{key} is {value!r}; expected one of {choices}.")


@functools.lru_cache(maxsize=16)
def random_split(name, ids, seed):
    """Returns split -> set of row ids: 80/10/10 of the rows in an order drawn by hash.

    Refused rows take part, so that mending a row moves no other. The order is that of
    a hash, not of a generator, so it is the same under every Python and numpy.
    """
    ordered = sorted(
        ids, key=lambda i: hashlib.sha256(f"{name}/{seed}/{i}".encode()).digest()
    )
    test = len(ids) // 10
    return {
        "test": frozenset(ordered[:test]),
        "validation": frozenset(ordered[test : 2 * test]),
        "train": frozenset(ordered[2 * test :]),
    }
