"""Damages checkpoints in a thousand ways: none may be restored with a wrong number.

    python -m benchmarks.reliability.corrupt --cases=1000 --seed=0

Of three steps the newest one, two or all three are damaged, each in one file by one
flipped bit, a truncation, a block of zeros or a deletion. The newest step that was let
be must be found and restored to the bit, and every step passed over must be named with
the damaged file; with none left that must be an error, which names them all.
"""

import collections
import pathlib
import random

from benchmarks.reliability import harness, trials
from codefusion.checkpoints import CheckpointError, Checkpoints

STEPS = (10, 20, 30)


def flip(content, rng):
    """Returns the content with one bit flipped."""
    at = rng.randrange(len(content))
    changed = bytes([content[at] ^ (1 << rng.randrange(8))])
    return content[:at] + changed + content[at + 1 :]


def truncate(content, rng):
    """Returns the beginning of the content, at least one byte shorter."""
    return content[: rng.randrange(len(content))]


def zero(content, rng):
    """Returns the content with a block of up to 4,096 zeros somewhere."""
    size = min(len(content), 1 << rng.randrange(13))
    at = rng.randrange(len(content) - size + 1)
    return content[:at] + bytes(size) + content[at + size :]


def delete(content, rng):
    """Returns nothing, which stands for no file."""
    return None


DAMAGES = (flip, truncate, zero, delete)


def damage(folder, step, rng):
    """Returns (kind, file) of the damage that it does to one file of a step."""
    root = pathlib.Path(folder, "checkpoints", str(step))
    files = sorted(path for path in root.rglob("*") if path.is_file())
    while True:
        path, kind = rng.choice(files), rng.choice(DAMAGES)
        content = path.read_bytes()
        changed = kind(content, rng) if content else None
        if changed is None:
            path.unlink()
        elif changed != content:
            path.write_bytes(changed)
        else:
            continue  # zeros over zeros
        return kind.__name__, path.relative_to(root).as_posix()


def trial(folder, rng):
    """Returns (kinds of damage, what went wrong) of one case.

    Args:
      folder: a work directory with `STEPS`, which the case damages.
      rng: a random.Random.
    """
    damaged = STEPS[len(STEPS) - rng.choice((1, 1, 1, 2, 2, 3)) :]
    done = {step: damage(folder, step, rng) for step in damaged}
    kinds = [kind for kind, _ in done.values()]
    expected = next((step for step in reversed(STEPS) if step not in damaged), None)
    checkpoints = Checkpoints(folder)
    with trials.warnings() as lines:
        try:
            found = checkpoints.latest()
        except CheckpointError as error:
            found, lines = None, [str(error)]
    if found != expected:
        return kinds, f"step {found} was taken instead of {expected} after {done}"
    text = " ".join(lines)
    for step, (_, name) in done.items():
        if f"Checkpoint {step} is not intact: file {name} " not in text:
            return kinds, f"file {name} of step {step} is not named in: {text}"
    if found is not None and not trials.is_right(checkpoints, found):
        return kinds, f"step {found} was restored with wrong numbers after {done}"
    return kinds, None


def main():
    """Runs the cases; the exit code is 1 if one went wrong."""
    args = harness.parser(__doc__, cases=1000).parse_args()
    rng = random.Random(args.seed)
    counts, faults = collections.Counter(), []
    with harness.scratch() as root:
        good, folder = root / "good", root / "damaged"
        trials.save(good, *STEPS, max_to_keep=len(STEPS))
        for case in range(args.cases):
            trials.copy(good, folder)
            kinds, fault = trial(folder, rng)
            counts.update(kinds)
            if fault:
                faults.append(fault)
                print(f"case {case}: {fault}", flush=True)
    figures = {
        "cases": args.cases,
        **{f"x {kind.__name__}": counts[kind.__name__] for kind in DAMAGES},
        "restored the newest intact step to the bit and named file and step": (
            args.cases - len(faults)
        ),
    }
    held = {"0 wrong cases": not faults, "at least one case": args.cases > 0}
    harness.finish("corrupt", figures, held)


if __name__ == "__main__":
    main()
