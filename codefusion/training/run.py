"""What a run does beside training: it records, evaluates, saves and stops."""

import dataclasses
import pathlib
import time
from collections.abc import Callable

from codefusion.checkpoints import Checkpoints
from codefusion.hosts import Watchdog
from codefusion.training import faults
from codefusion.training.agreement import Agreement
from codefusion.training.goodput import Goodput
from codefusion.training.progress import Progress
from codefusion.training.records import Records
from codefusion.training.signals import Stopped, StopSignals
from codefusion.training.stage import Stage
from codefusion.training.step import TrainState
from codefusion.training.watch import Averages, Watch

# (step, state) -> {name: value}; the state is only lent.
Evaluator = Callable[[int, TrainState], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Span:
    """A stage and the number of steps before its first."""

    stage: Stage
    first: int

    @property
    def end(self):
        """Steps of the run after its last."""
        return self.first + self.stage.num_steps


def step_seconds_of(goodput: Goodput) -> float:
    """Returns the seconds of all starts in steps and in waiting for their data."""
    seconds = goodput.seconds()
    return seconds["steps"] + seconds["data_wait"]


@dataclasses.dataclass
class Run:
    """A run, beside the training itself.

    `train_seconds` is the time of the run up to `since`, resumed runs and compilation
    included, evaluations and saves left out. `step_seconds` is the same without
    compilation, as the rate of examples is told by it. `state` is the newest, and
    nobody else keeps one.
    """

    workdir: pathlib.Path
    checkpoints: Checkpoints
    identity: dict
    files: dict[str, bytes]
    evaluators: tuple[Evaluator, ...]
    eval_every: int
    log_every: int
    on_non_finite: str
    averages: Averages
    train_seconds: float
    since: float
    step_seconds: float
    goodput: Goodput
    watchdog: Watchdog
    agreement: Agreement
    stop: StopSignals
    records: Records
    progress: Progress
    last_step: int
    state: TrainState
    made_steps: bool = False

    def watch(self, span):
        """Returns the `Watch` over the steps of a stage."""

        def on_step(step, values):
            self.averages.add(values)
            self._advance(span, step)

        def on_fault(step, values, leaf_norms):
            self._fault(span, step, values, leaf_norms)
            self._advance(span, step)

        return Watch(on_step, on_fault)

    def take(self, watch, step, metrics):
        """Takes in the metrics of a step that may still be running."""
        self.made_steps = True
        watch.push(step, metrics)
        self.watchdog.beat(step)

    def after_step(self, watch, step, *, is_end):
        """Evaluates, saves and stops where it is time to."""
        self.checkpoints.check()
        every = self.checkpoints.every_steps
        saving = is_end or bool(every and step % every == 0)
        # By the clock, which differs from host to host.
        wished = not saving and self.checkpoints.due(step)
        stopping, wished = self.agreement.agree(
            stop=bool(self.stop.received), save=wished
        )
        evaluating = self.eval_every and (
            step % self.eval_every == 0 or step == self.last_step
        )
        if not (evaluating or saving or wished or stopping):
            return
        watch.flush()
        started = time.monotonic()
        seconds_since = started - self.since
        if evaluating:
            with self.goodput.spend("evaluation"):
                self._evaluate(step, self.train_seconds + seconds_since)
            if self.agreement.is_alone:  # else at the next step, by all
                stopping = bool(self.stop.received)
        if saving or wished or stopping:
            with self.goodput.spend("checkpointing"):
                self._save(step, seconds_since)
        self.since += time.monotonic() - started
        if stopping:
            self._stop(step)

    def finish(self):
        """Returns the last state once it is saved; stops if told to."""
        with self.goodput.spend("checkpointing"):
            self.checkpoints.wait()
        if self.stop.received:
            raise Stopped(int(self.state.step))
        return self.state

    def close(self):
        """Shows in one line what the time of the run went to, if it made a step."""
        if self.made_steps:
            self.progress.note(self.goodput.summary())

    def tell_left_out(self, stage, step):
        """Records how many rows of each data set the stage cannot use."""
        for name, (count, total) in stage.left_out.items():
            self.records.write(step, stage.name, {f"left_out_{name}": count})
            self.progress.note(
                f"{stage.name}: {count:,} of {total:,} rows of {name} are left out, "
                "being longer than data.source_length or data.target_length."
            )

    def _save(self, step, seconds_since):
        """Begins to save the state, with all that a resumed run needs."""
        extra = dict(
            identity=self.identity,
            averages=self.averages.to_json(),
            train_seconds=self.train_seconds,
            seconds_since=seconds_since,
            step_seconds=self.step_seconds,
            goodput=self.goodput.to_json(),
        )
        self.checkpoints.save(step, self.state, extra, self.files)
        self.records.write(step, "goodput", self.goodput.values())

    def _stop(self, step):
        """Raises Stopped once the state of the step is on the disk."""
        with self.goodput.spend("checkpointing"):
            self.checkpoints.wait()
        wish = self.stop.received or "Another host's signal"
        self.progress.note(f"{wish}: saved at step {step}.")
        raise Stopped(step)

    def _evaluate(self, step, seconds):
        """Writes and shows what the evaluators find after `seconds` of training."""
        values = {}
        for evaluator in self.evaluators:
            values |= evaluator(step, self.state)
        self.records.write(step, "evaluation", values | {"train_seconds": seconds})
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.progress.note(f"step {step}: {shown}")

    def _advance(self, span, step):
        self.progress.advance(step)
        if step % self.log_every == 0 or step == span.end:
            self._report(span.stage, step)

    def _report(self, stage, step):
        """Writes and shows the means since the last report."""
        num_steps, values = self.averages.take()
        now, step_seconds = time.monotonic(), step_seconds_of(self.goodput)
        num_rows = stage.batches.batch_size * num_steps
        values["examples_per_second"] = num_rows / (step_seconds - self.step_seconds)
        self.step_seconds = step_seconds
        self.train_seconds += now - self.since
        self.since = now
        values["train_seconds"] = self.train_seconds
        self.records.write(step, stage.name, values)
        self.progress.report(stage.name, values)

    def _fault(self, span, step, values, leaf_norms):
        """Raises for a step that is not finite, or tells that it is left out."""
        index = step - 1 - span.first
        stage, is_kept = span.stage, values.pop("kept")
        line = faults.describe(stage, index, step, self.state, values, leaf_norms)
        # With a bad parameter every later step would be left out, and saved.
        is_lost = is_kept or faults.has_bad_parameters(self.state)
        if self.on_non_finite == faults.STOP or is_lost:
            self.checkpoints.wait()
            steps = self.checkpoints.steps()
            raise faults.stop(self.workdir, stage, index, step, line, steps)
        self.records.write(step, stage.name, {"skipped_batch": index})
        self.progress.note(f"{line}: left out.")
