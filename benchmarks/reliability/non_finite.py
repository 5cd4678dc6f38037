"""Numbers that are not finite: stopped before the update and named, or left out.

    python -m benchmarks.reliability.non_finite --cases=76 --seed=0

NaN and infinity are put into the loss, a gradient, a parameter and a batch, at the
first and last steps of both stages, at steps that are saved and at others. A run that
stops must say which step, batch and leaf it was, keep the batch in a file, have saved
nothing of it, and go on to the same bits once the batch is mended. A run told to skip
must leave out that batch and no other. About 20 seconds a case on two CPU cores;
--program=toy takes 2.
"""

import dataclasses
import functools
import pathlib
import random
import sys

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.reliability import harness
from benchmarks.reliability.runs import FIRST_STAGE, Settings, Watched
from codefusion import trees
from codefusion.checkpoints import Checkpoints
from codefusion.training.faults import SKIP, STOP
from codefusion.training.records import read_rows
from codefusion.training.watch import NonFiniteError

PLACES = ("loss", "gradient", "parameter", "batch")
VALUES = (0.0, np.nan, np.inf)  # the first is no trouble
_STEPS, _EVERY = FIRST_STAGE + 8, 4


@dataclasses.dataclass(frozen=True)
class Case:
    """One number that is not finite.

    Attributes:
      place: one of `PLACES`.
      value: number of one of `VALUES`.
      step: the step that meets it; a bad parameter is there from the first on.
      policy: what the run is told to do, `STOP` or `SKIP`.
    """

    place: str
    value: int
    step: int
    policy: str

    @property
    def stage(self):
        """Name of the stage of the step."""
        return "training" if self.step > FIRST_STAGE else "pretraining"

    @property
    def index(self):
        """Number of the step's batch in its stage."""
        return (self.step - 1) % FIRST_STAGE

    def load(self, params):
        """Returns the parameters that the run starts from."""
        leaves, structure = jax.tree.flatten(params)
        if self.place == "parameter":
            leaves[0] = leaves[0].at[(0,) * leaves[0].ndim].set(VALUES[self.value])
        return jax.tree.unflatten(structure, leaves)

    def at(self, stage, index):
        """Returns {place: number of its value} for a batch."""
        is_here = (stage, index) == (self.stage, self.index)
        return {self.place: self.value} if is_here else {}


def every_case():
    """Returns all cases."""
    steps = (1, FIRST_STAGE, FIRST_STAGE + 1, FIRST_STAGE + 2, _STEPS - 1, _STEPS)
    return [
        Case(place, value, step, policy)
        for place in PLACES
        for value in (1, 2)
        for step in (steps[:1] if place == "parameter" else steps)
        for policy in (STOP, SKIP)
    ]


class Troubled(Watched):
    """Batches with leaves that say where the loss finds trouble."""

    def __getitem__(self, index):
        return self._read(self._stage, index, self._batches[index])


def trouble(stages, *, at):
    """Returns stages whose loss finds trouble where it is told.

    Args:
      stages: sequence of `Stage`.
      at: (stage, index) -> {place: number of its value}, as `Case.at`.
    """

    def read(stage, index, batch):
        found, ones = at(stage, index), np.ones(len(jax.tree.leaves(batch)[0]))
        return {
            "rows": batch,
            "numbers": (VALUES[found.get("batch", 0)] * ones).astype(np.float32),
            "loss": (found.get("loss", 0) * ones).astype(np.int32),
            "gradient": (found.get("gradient", 0) * ones).astype(np.int32),
        }

    return [
        dataclasses.replace(
            stage,
            batches=Troubled(stage.batches, stage.name, read),
            loss_fn=functools.partial(_loss, stage.loss_fn),
        )
        for stage in stages
    ]


def _loss(loss_fn, params, batch, key):
    """Returns `loss_fn` of the rows, with what the other leaves of a batch add."""
    values = jnp.asarray(VALUES)
    leaves, structure = jax.tree.flatten(params)
    leaves[0] = _spoiled(leaves[0], values[batch["gradient"].max()])
    params = jax.tree.unflatten(structure, leaves)
    loss, parts = loss_fn(params, batch["rows"], key)
    return loss + values[batch["loss"].max()] + batch["numbers"].sum(), parts


@jax.custom_vjp
def _spoiled(x, bad):
    """Returns x; its gradient is `bad` where that is not 0."""
    del bad
    return x


def _spoiled_forward(x, bad):
    return x, bad


def _spoiled_backward(bad, gradient):
    return jnp.where(bad == 0, gradient, bad.astype(gradient.dtype)), None


_spoiled.defvjp(_spoiled_forward, _spoiled_backward)


@dataclasses.dataclass
class Judge:
    """Runs cases and compares them with a run that had no trouble.

    Attributes:
      program: one of `harness.PROGRAMS`, made.
      root: folder for the work directories.
    """

    program: object
    root: pathlib.Path

    def __post_init__(self):
        self._settings = Settings(steps=_STEPS, every=_EVERY, keep=_STEPS + 1)
        self._train(self.root / "whole", dataclasses.replace(self._settings, every=1))
        self._whole = harness.Reference(
            self.program, self._settings, self.root / "whole"
        )
        leaf = next(iter(trees.named_leaves(self._whole.like.params)))
        self._named = {
            "loss": "the loss alone",
            "gradient": f"gradient {leaf}",
            "parameter": f"parameters {leaf}",
            "batch": "batch numbers",
        }

    def faults(self, case):
        """Returns what a case did that it should not have, a list of str."""
        workdir = self.root / f"{case.policy}-{case.place}-{case.value}-{case.step}"
        every = 1 if case.policy == SKIP else _EVERY
        settings = dataclasses.replace(
            self._settings, every=every, on_non_finite=case.policy
        )
        try:
            state = self._train(workdir, settings, case)
        except NonFiniteError as error:
            return self._faults_of_a_stop(case, workdir, str(error))
        return self._faults_of_a_skip(case, workdir, state)

    def _train(self, workdir, settings, case=None):
        at = case.at if case else lambda stage, index: {}

        def change(stages):
            self._stages = {stage.name: stage for stage in trouble(stages, at=at)}
            return list(self._stages.values())

        def load(params):
            self._first = harness.digests(params)
            return case.load(params) if case else params

        return self.program.train(workdir, settings, change=change, load=load)

    def _faults_of_a_stop(self, case, workdir, message):
        if case.policy == SKIP and case.place != "parameter":
            return ["stopped instead of skipping"]
        where = f"Step {case.step} is not finite"
        batch = f"batch {case.index} of stage {case.stage}"
        wanted = (where, batch, self._named[case.place])
        found = [f"does not say {words!r}" for words in wanted if words not in message]
        saved = Checkpoints(workdir).steps()
        found += [f"saved step {step}" for step in saved if step >= case.step]
        if any(self._whole.wrong_leaves(workdir, step) for step in saved):
            found.append("what it saved before differs")
        if not self._is_kept(case, workdir):
            found.append("the batch is not kept as it was")
        return found if case.place == "parameter" else found + self._mended(workdir)

    def _is_kept(self, case, workdir):
        """Returns whether the file that a stop leaves holds the batch."""
        path = workdir / f"not_finite_step_{case.step}.npz"
        if not path.is_file():
            return False
        batch = self._stages[case.stage].batches[case.index]
        expected = trees.named_leaves(batch, ".")
        with np.load(path) as kept:
            return all(
                name in kept and kept[name].tobytes() == leaf.tobytes()
                for name, leaf in expected.items()
            )

    def _mended(self, workdir):
        """Runs the same command with the batch as it should be."""
        self._train(workdir, self._settings)
        is_whole = self._whole.is_whole(workdir)
        return [] if is_whole else ["ends otherwise once the batch is mended"]

    def _faults_of_a_skip(self, case, workdir, state):
        if case.policy == STOP or case.place == "parameter":
            return ["did not stop"]
        rows = read_rows(workdir / "metrics.jsonl")
        told = [(r["step"], r["skipped_batch"]) for r in rows if "skipped_batch" in r]
        found = [f"tells of {told}"] if told != [(case.step, case.index)] else []
        if harness.losses(workdir).keys() != self._whole.losses.keys() - {case.step}:
            found.append("has not the losses of all other steps")
        for step in range(1, case.step):
            if self._whole.wrong_leaves(workdir, step):
                found.append(f"differs at step {step}, before the batch")
        if not self._is_unchanged(case, workdir):
            found.append("changes the state at the batch")
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
        if not all(np.isfinite(leaf).all() for leaf in leaves):
            found.append("ends with numbers that are not finite")
        return found

    def _is_unchanged(self, case, workdir):
        """Returns whether the state after the batch is that before it."""
        after = self._whole.saved(workdir, case.step)
        if case.step == 1:
            before = {f"params/{name}": found for name, found in self._first.items()}
        else:
            before = self._whole.state(case.step - 1)
        # A stage starts with a new average and optimizer.
        kept = "params/" if case.index == 0 else ""
        names = [n for n in before if n.startswith(kept) and n != "step"]
        return bool(names) and all(after[name] == before[name] for name in names)


def main():
    """Runs as many cases as the flags say and ends in a line of figures."""
    parser = harness.parser(__doc__, program="tiny", cases=len(every_case()))
    flags = parser.parse_args()
    cases = random.Random(flags.seed).sample(every_case(), flags.cases)
    with harness.scratch() as root, harness.compiled_once(root):
        judge = Judge(harness.PROGRAMS[flags.program](), root)
        found = {case: judge.faults(case) for case in cases}
    wrong = {case: faults for case, faults in found.items() if faults}
    for case, faults in wrong.items():
        print(f"{case}: {'; '.join(faults)}", file=sys.stderr)
    places = {place: sum(c.place == place for c in cases) for place in PLACES}
    figures = dict(cases=len(cases)) | places | dict(wrong_cases=len(wrong))
    harness.finish("non_finite", figures, {"0 wrong cases": not wrong})


if __name__ == "__main__":
    main()
