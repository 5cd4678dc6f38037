"""The training loop: stages one after the other, resumable at any step.

Step n draws from a key folded from (seed, n) and reads batch n of its stage, which is
a pure function of n. So a run goes on from a checkpoint to the bit: nothing but the
state is carried over.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from codefusion.checkpoints import Checkpoints
from codefusion.training import resuming
from codefusion.training import step as steps
from codefusion.training.compile_cache import compile_cache
from codefusion.training.optimizers import Optimizer
from codefusion.training.progress import Progress
from codefusion.training.records import Records
from codefusion.training.signals import Stopped, StopSignals
from codefusion.training.watch import Averages, NonFiniteError, Watch, not_finite

# (step, state) -> {name: value}; the state is only lent.
Evaluator = Callable[[int, steps.TrainState], dict[str, float]]


class Batches(Protocol):
    """The batches of a stage, each a pure function of its number."""

    content_hash: str

    def __getitem__(self, index: int) -> Any:
        """Returns batch `index`, a tree of arrays with leading dimension B."""

    def iterate(self, start: int) -> Iterator[Any]:
        """Returns an iterator over the batches from `start` on, with `close()`."""

    def examples(self, index: int) -> list[tuple[int, int]]:
        """Returns where the rows of a batch come from: (data set, row) numbers."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stretch of training with its own loss, data, optimizer and average.

    Attributes:
      name: shown in metrics and errors.
      loss_fn: `(params, batch, key) -> (loss, parts)`.
      optimizer: built for `num_steps` steps.
      batches: the stage's data.
      num_steps: updates to make.
      ema_decay: decay of the moving average of the parameters.
      left_out: by data set, how many rows are too long to train on; shown and recorded
        when the stage starts.
    """

    name: str
    loss_fn: steps.LossFn
    optimizer: Optimizer
    batches: Batches
    num_steps: int
    ema_decay: float = 0.999
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)


def train(
    stages: Sequence[Stage],
    init_params,
    *,
    workdir: str | os.PathLike,
    seed: int,
    checkpoints: Checkpoints,
    config: dict | None = None,
    tokenizer_hash: str | None = None,
    evaluators: Sequence[Evaluator] = (),
    eval_every: int = 0,
    log_every: int = 20,
    stream=None,
) -> steps.TrainState:
    """Returns the state after the last stage, resuming from the newest checkpoint.

    Parameters carry over from stage to stage; the optimizer and the moving average
    start anew. SIGTERM or Ctrl-C saves and raises `Stopped`, which exits with code 0.

    Args:
      stages: what to train, in order.
      init_params: parameters to start from where there is no checkpoint.
      workdir: folder of the metrics, the compiled programs and the checkpoints.
      seed: what every random draw is folded from.
      checkpoints: the run's checkpoints, with when to save them.
      config: the resolved config as nested dicts; a checkpoint of another is refused.
      tokenizer_hash: content hash of the tokenizer, likewise.
      evaluators: called every `eval_every` steps and after the last.
      eval_every: steps between evaluations; 0 for none.
      log_every: steps that one row of metrics averages.
      stream: where progress is shown; standard error if None.

    Raises:
      NonFiniteError: a loss, gradient or update was not finite; nothing of it is saved.
      CheckpointError: nothing could be saved, or the checkpoints are of another run.
    """
    checkpoints.prepare()
    identity = resuming.identify(
        stages, seed=seed, config=config, tokenizer_hash=tokenizer_hash
    )
    spans = _spans(stages)
    with contextlib.ExitStack() as stack:
        stack.enter_context(compile_cache(workdir))
        index, state, saved = _resume(spans, init_params, checkpoints, identity)
        run = _Run(
            workdir=pathlib.Path(workdir),
            checkpoints=checkpoints,
            identity=identity,
            evaluators=tuple(evaluators),
            eval_every=eval_every,
            log_every=log_every,
            averages=Averages(saved.get("averages")),
            train_seconds=saved.get("train_seconds", 0.0),
            since=time.monotonic() - saved.get("seconds_since", 0.0),
            **_shown(stack, workdir, spans[-1].end, int(state.step), stream),
        )
        for span in spans[index:]:
            state = _run_stage(run, span, state, jax.random.key(seed))
        if run.stop.received:
            raise Stopped(int(state.step))
    return state


@dataclasses.dataclass(frozen=True)
class _Span:
    """A stage and the steps before its first and after its last update."""

    stage: Stage
    first: int

    @property
    def end(self):
        return self.first + self.stage.num_steps


def _spans(stages):
    spans, first = [], 0
    for stage in stages:
        if stage.num_steps > 0:
            spans.append(_Span(stage, first))
            first = spans[-1].end
    if not spans:
        raise ValueError("training.num_steps is 0; expected at least 1.")
    return spans


def _resume(spans, init_params, checkpoints, identity):
    """Returns (number of the span, state, what was saved beside the state)."""
    step = checkpoints.latest()
    if step is None:
        return 0, steps.init_state(init_params, spans[0].stage.optimizer), {}
    saved = checkpoints.extra(step)
    workdir = checkpoints.workdir
    resuming.check_same_run(saved["identity"], identity, workdir=workdir)
    # At the border of two stages the state is still that of the earlier one.
    index = next(i for i, span in enumerate(spans) if step <= span.end)
    start = functools.partial(steps.init_state, optimizer=spans[index].stage.optimizer)
    like = jax.eval_shape(start, init_params)
    return index, checkpoints.restore(step, like), saved


def _shown(stack, workdir, num_steps, step, stream):
    """Returns what a run writes to and listens to, closed with the stack."""
    progress = Progress(num_steps=num_steps, step=step, stream=stream)
    enter = stack.enter_context
    found = dict(
        stop=enter(StopSignals()),
        records=enter(Records(workdir, from_step=step)),
        progress=enter(progress),
        last_step=num_steps,
    )
    if step:
        progress.note(f"Resuming from step {step} of {num_steps}.")
    return found


def _run_stage(run, span, state, key):
    """Returns the state after the rest of a stage."""
    stage = span.stage
    done = int(state.step)
    if done == span.first:
        run.tell_left_out(stage, done)
        if done > 0:
            state = steps.init_state(state.params, stage.optimizer, step=done)
    train_step = steps.make_train_step(
        stage.loss_fn,
        stage.optimizer,
        ema_decay=stage.ema_decay,
        first_step=span.first,
    )
    watch = run.watch(span)
    with contextlib.closing(stage.batches.iterate(done - span.first)) as batches:
        for step in range(done + 1, span.end + 1):
            state, metrics = train_step(state, next(batches), key)
            watch.push(step, metrics)
            run.after_step(watch, step, state, is_end=step == span.end)
    return state


@dataclasses.dataclass
class _Run:
    """What the loop does beside training: records, evaluates, saves, stops.

    `train_seconds` is the time of the run up to `since`, resumed runs and compilation
    included, evaluations and saves left out.
    """

    workdir: pathlib.Path
    checkpoints: Checkpoints
    identity: dict
    evaluators: tuple
    eval_every: int
    log_every: int
    averages: Averages
    train_seconds: float
    stop: StopSignals
    records: Records
    progress: Progress
    last_step: int
    since: float

    def watch(self, span):
        """Returns the `Watch` over the steps of a stage."""
        num_rows = len(jax.tree.leaves(span.stage.batches[0])[0])

        def on_step(step, values):
            self.averages.add(values)
            self.progress.advance(step)
            if step % self.log_every == 0 or step == span.end:
                self.report(span.stage.name, step, num_rows)

        return Watch(on_step, functools.partial(self.fault, span))

    def report(self, stage, step, num_rows):
        """Writes and shows the means since the last report."""
        num_steps, values = self.averages.take()
        now = time.monotonic()
        values["examples_per_second"] = num_rows * num_steps / (now - self.since)
        self.train_seconds += now - self.since
        self.since = now
        values["train_seconds"] = self.train_seconds
        self.records.write(step, stage, values)
        self.progress.report(stage, values)

    def after_step(self, watch, step, state, *, is_end):
        """Evaluates, saves and stops where it is time to."""
        evaluating = self.eval_every and (
            step % self.eval_every == 0 or step == self.last_step
        )
        saving = is_end or self.checkpoints.due(step)
        if not (evaluating or saving or self.stop.received):
            return
        watch.flush()
        started = time.monotonic()
        seconds_since = started - self.since
        if evaluating:
            self.evaluate(step, state, self.train_seconds + seconds_since)
        stopping = self.stop.received  # perhaps since the evaluation
        if saving or stopping:
            extra = dict(
                identity=self.identity,
                averages=self.averages.to_json(),
                train_seconds=self.train_seconds,
                seconds_since=seconds_since,
            )
            self.checkpoints.save(step, state, extra)
        self.since += time.monotonic() - started
        if stopping:
            self.progress.note(f"{stopping}: saved at step {step}.")
            raise Stopped(step)

    def tell_left_out(self, stage, step):
        """Records how many rows of each data set the stage cannot use."""
        for name, count in stage.left_out.items():
            self.records.write(step, stage.name, {f"left_out_{name}": count})
            self.progress.note(
                f"{stage.name}: {count:,} rows of {name} are left out, being longer "
                "than data.source_length or data.target_length."
            )

    def evaluate(self, step, state, seconds):
        """Writes and shows what the evaluators find after `seconds` of training."""
        values = {}
        for evaluator in self.evaluators:
            values |= evaluator(step, state)
        self.records.write(step, "evaluation", values | {"train_seconds": seconds})
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.progress.note(f"step {step}: {shown}")

    def fault(self, span, step, values):
        """Returns the error for a step that was not finite; keeps its batch."""
        index = step - 1 - span.first
        batches = span.stage.batches
        kept = self.checkpoints.steps()
        last = f"step {kept[-1]}" if kept else "none yet"
        rows = batches.examples(index)
        file = _keep_batch(self.workdir, step, batches[index], rows)
        return NonFiniteError(
            f"Step {step} is not finite: {', '.join(not_finite(values))} "
            f"(batch {index} of stage {span.stage.name}, {len(rows)} rows from "
            f"{rows[:3]}..., kept in {file}). It was not saved; the last checkpoint "
            f"is {last}. Mend the rows and run the same command again, or lower "
            f"{span.stage.name}.optimizer.learning_rate in another --workdir."
        )


def _keep_batch(workdir, step, batch, rows):
    """Writes a batch and where its rows come from; returns the file's name."""
    path = workdir / f"not_finite_step_{step}.npz"
    leaves, _ = jax.tree_util.tree_flatten_with_path(batch)
    name = functools.partial(jax.tree_util.keystr, simple=True, separator=".")
    arrays = {name(key): np.asarray(leaf) for key, leaf in leaves}
    try:
        np.savez(path, examples=np.array(rows), **arrays)
    except OSError as error:
        return f"no file ({error.strerror})"
    return str(path)
