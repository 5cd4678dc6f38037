"""Checkpoints that are either whole and proven so, or not restored.

A checkpoint is the folder `checkpoints/<step>/`, on a disk or in a bucket: the arrays
(`state/`, by orbax), what else a run needs (`extra.json` and the files given with it),
and `manifest.json` with the size and SHA-256 of every file, written last. The manifest
is the commit: until it is there, `unfinished.<step>` beside the folder says that this
is a save under way, or one that was cut off, which the next save clears. No folder is
renamed, because a bucket cannot; a process killed at any moment leaves the earlier
steps as they were.

Orbax notices a missing file but not a flipped bit: hence the manifest, which is checked
before anything is restored. Orbax's CheckpointManager is not used, because it commits
and deletes old steps before a manifest of the new one could exist.
"""

from codefusion.checkpoints.errors import CheckpointError
from codefusion.checkpoints.store import Checkpoints

__all__ = ["CheckpointError", "Checkpoints"]
