"""A checkpoint of one mesh goes on on any other: the same bits, the same losses.

    python -m benchmarks.reliability.meshes --most=8 --seed=0

For each axis (data, fsdp, tensor) runs on 1, 2, 4 and 8 devices of the host are each
continued on 1, 2, 4 and 8. What is restored must have the bits of the state that was
saved, on the same mesh so must the losses that follow, and on another mesh, which sums
in another order, they must agree to 1e-6: the three steps after the save, compiled with
most of XLA's optimizations off. Eight minutes on two CPU cores.
"""

import dataclasses
import pathlib
import shutil

import jax

from benchmarks.reliability import harness
from benchmarks.reliability.runs import FIRST_STAGE, Settings
from benchmarks.reliability.tiny import Tiny
from benchmarks.reliability.toy import Toy
from codefusion import sharding
from codefusion.checkpoints import Checkpoints

AXES = ("data", "fsdp", "tensor")
TOLERANCE = 1e-6  # relative, of a loss
_SAVED, _STEPS = FIRST_STAGE + 2, FIRST_STAGE + 5
_OVERRIDES = {
    "pretraining.num_steps": 0,  # one stage compiles in half of the time
    "training.num_steps": _STEPS,
}


@dataclasses.dataclass
class Tally(harness.Tally):
    """What the changes of mesh did."""

    changes: int = 0
    arrays: int = 0
    largest_difference: float = 0.0
    wrong_arrays: int = harness.fault()
    wrong_losses_on_the_same_mesh: int = harness.fault()


def mesh_of(axis, count):
    """Returns a mesh of `count` devices along one axis."""
    shape = sharding.MeshShape(**({"data": 1} | {axis: count}))
    return sharding.make_mesh(shape, jax.devices()[:count])


@dataclasses.dataclass
class Matrix:
    """Runs of one program on meshes of one axis, continued on one another.

    Attributes:
      program: one of `harness.PROGRAMS`, made.
      root: folder for the work directories.
      axis: the axis of the meshes that has all their devices.
      tally: counts over all axes.
    """

    program: object
    root: pathlib.Path
    axis: str
    tally: Tally

    def run(self, counts):
        """Takes every pair of numbers of devices."""
        for before in counts:
            mesh = mesh_of(self.axis, before)
            workdir = self.root / f"{self.axis}{before}"
            settings = Settings(steps=_STEPS, every=_SAVED, keep=_STEPS)
            state = self.program.train(workdir, settings, mesh=mesh)
            expected = harness.digests(state)
            like = self.program.like(workdir)
            for after in counts:
                mesh = mesh_of(self.axis, after)
                self._compare_state(workdir, sharding.on_mesh(like, mesh), expected)
                self._compare_losses(workdir, settings, mesh, before == after)
                self.tally.changes += 1
            jax.clear_caches()  # else the programs of all meshes stay in memory

    def _compare_state(self, workdir, like, expected):
        found = harness.digests(Checkpoints(workdir).restore(_STEPS, like))
        self.tally.arrays += len(expected)
        self.tally.wrong_arrays += sum(found[n] != expected[n] for n in expected)

    def _compare_losses(self, workdir, settings, mesh, is_same):
        """Goes on from the saved step on another mesh."""
        copy = self.root / "continued"
        shutil.copytree(workdir, copy)
        shutil.rmtree(copy / "checkpoints" / str(_STEPS))
        self.program.train(copy, settings, mesh=mesh)
        expected, found = harness.losses(workdir), harness.losses(copy)
        shutil.rmtree(copy)
        for step in range(_SAVED + 1, _STEPS + 1):
            self._compare_loss(expected[step], found[step], is_same)

    def _compare_loss(self, expected, found, is_same):
        tally = self.tally
        tally.wrong_losses_on_the_same_mesh += is_same and found != expected
        a, b = float.fromhex(expected), float.fromhex(found)
        tally.largest_difference = max(tally.largest_difference, abs(a - b) / abs(a))


def held(tally):
    """Returns {what was to hold: whether it did}."""
    is_close = tally.largest_difference <= TOLERANCE
    return tally.held() | {f"losses to {TOLERANCE}": is_close}


def main():
    """Takes every pair of meshes and ends in a line of figures."""
    parser = harness.parser(__doc__, program="tiny", most=8, axes=",".join(AXES))
    flags = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", flags.most)
    # The layout is what counts, and compiling takes most of the time.
    jax.config.update("jax_disable_most_optimizations", True)
    counts = [n for n in (1, 2, 4, 8) if n <= flags.most]
    tally = Tally()
    with harness.scratch() as root, harness.compiled_once(root):
        is_toy = flags.program == "toy"
        program = Toy() if is_toy else Tiny(tuple(_OVERRIDES.items()))
        for axis in flags.axes.split(","):
            Matrix(program, root, axis, tally).run(counts)
    harness.finish("meshes", dataclasses.asdict(tally), held(tally))


if __name__ == "__main__":
    main()
