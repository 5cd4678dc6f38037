"""Steps that are not finite: what is said of them, what is kept, and what follows."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from codefusion import trees
from codefusion.training.watch import NonFiniteError, not_finite

# What follows such a step: `training.on_non_finite`.
STOP, SKIP = "stop", "skip"


def describe(stage, index, step, state, values, leaf_norms):
    """Returns in one line which batch, and which leaves, are not finite.

    Args:
      stage: the `Stage`.
      index: number of the batch in its stage.
      step: of the run.
      state: the `TrainState`, whose parameters are looked through.
      values: the step's metrics, {name: float}.
      leaf_norms: norm of the gradient by each parameter, in the order of its leaves.
    """
    rows = stage.batches.examples(index)
    norms = zip(trees.named_leaves(state.params), leaf_norms, strict=True)
    places = {
        "gradient": [name for name, norm in norms if not np.isfinite(norm)],
        "parameters": _bad_leaves(state.params),
        "batch": _bad_leaves(stage.batches[index]),
    }
    found = [f"{place} {_some(leaves)}" for place, leaves in places.items() if leaves]
    return (
        f"Step {step} is not finite: {', '.join(not_finite(values))} "
        f"(batch {index} of stage {stage.name}, {len(rows)} rows from {rows[:3]}...; "
        f"not finite in: {'; '.join(found) or 'the loss alone'})"
    )


def stop(workdir, stage, index, step, line, kept_steps):
    """Returns the error that ends the run; the batch is kept in a file.

    Args:
      workdir: the work directory, a pathlib.Path.
      stage: the `Stage`.
      index: number of the batch in its stage.
      step: of the run.
      line: from `describe`.
      kept_steps: steps of the checkpoints.
    """
    file = keep_batch(workdir, stage.batches, index, step)
    last = f"step {kept_steps[-1]}" if kept_steps else "none yet"
    return NonFiniteError(
        f"{line}. The batch is kept in {file}. The step was not saved; the last "
        f"checkpoint is {last}. Mend the rows and run the same command again, set "
        f"--config.training.on_non_finite={SKIP} to leave such batches out, or lower "
        f"{stage.name}.optimizer.learning_rate in another --workdir."
    )


def keep_batch(workdir, batches, index, step):
    """Writes a batch and where its rows come from; returns the file's name."""
    place = f"_host_{jax.process_index()}" if jax.process_count() > 1 else ""
    path = pathlib.Path(workdir) / f"not_finite_step_{step}{place}.npz"
    arrays = trees.named_leaves(batches[index], ".")
    try:
        np.savez(path, examples=np.array(batches.examples(index)), **arrays)
    except OSError as error:
        return f"no file ({error.strerror})"
    return str(path)


def has_bad_parameters(state):
    """Returns whether a parameter of a `TrainState` is not finite."""
    return bool(_bad_leaves(state.params))


def _bad_leaves(tree):
    """Returns the names of the leaves that are not finite, of arrays of any kind."""
    return [name for name, x in trees.named_leaves(tree).items() if not _is_finite(x)]


def _is_finite(x):
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return True
    if isinstance(x, np.ndarray):
        return bool(np.isfinite(x).all())
    # Of an array over several hosts all of them come here, and learn the same.
    return bool(jnp.isfinite(x).all())


def _some(names):
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
