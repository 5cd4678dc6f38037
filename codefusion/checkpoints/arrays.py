"""Trees of arrays to and from a folder, by orbax, from all hosts and onto any mesh.

On a CPU a save copies nothing: it reads views of the arrays' buffers. As long as there
is a view, JAX does not let a step that a buffer is donated to write into it.
"""

import contextlib
import logging

import jax

from codefusion import trees
from codefusion.checkpoints import background, manifest
from codefusion.checkpoints.errors import CheckpointError

# Longer than a healthy file system takes; what waits for a lost host must end.
TIMEOUT_SECONDS = 1200


def begin_write(folder, leaves):
    """Returns orbax's writer of a folder, at work; the arrays may be donated now.

    Args:
      folder: where the arrays go; it does not exist.
      leaves: arrays by name.

    Returns:
      An object with `wait_until_finished()`, which raises what went wrong. A new one
      each time, because it holds on to the arrays.
    """
    import orbax.checkpoint as ocp

    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_is_shown)  # once, however often
    options = ocp.options.AsyncOptions(
        timeout_secs=TIMEOUT_SECONDS,
        # Where making them fails, threads would wait for them until the time-out.
        create_directories_asynchronously=False,
    )
    writer = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler(), async_options=options)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(writer.close)
        # Its own thread, which waits for all hosts, is thereby a daemon.
        background.start(writer.save, folder, args=ocp.args.PyTreeSave(leaves)).result()
        on_failure.pop_all()
    return writer


def read(folder, like):
    """Returns the arrays of a folder in the structure of `like`.

    Args:
      folder: that `begin_write` wrote to the end.
      like: a tree of arrays or `jax.ShapeDtypeStruct`; a leaf with a sharding is
        restored to it, others to the default device.
    """
    import orbax.checkpoint as ocp

    default = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def abstract(leaf):
        sharding = getattr(leaf, "sharding", None) or default
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    wanted = {name: abstract(leaf) for name, leaf in trees.named_leaves(like).items()}
    args = ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
        partial_restore=True,
    )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        arrays = checkpointer.restore(folder, args=args)
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[n] for n in wanted])


def check_leaves(folder, like):
    """Raises CheckpointError unless a checkpoint has all leaves of `like`.

    Args:
      folder: of the checkpoint, with its manifest.
      like: a tree of arrays or `jax.ShapeDtypeStruct`.
    """
    saved = manifest.read(folder)["leaves"]
    for name, leaf in trees.named_leaves(like).items():
        if saved.get(name) != manifest.kind(leaf):
            raise CheckpointError(
                f"Checkpoint {folder} has {saved.get(name, 'nothing')} for {name}; "
                f"this model needs {manifest.kind(leaf)}. Use the config it was "
                "trained with."
            )


def _is_shown(record) -> bool:
    """Returns False for a trace that orbax logs of an error that it also raises."""
    return not (record.exc_info and "orbax" in record.pathname + record.getMessage())
