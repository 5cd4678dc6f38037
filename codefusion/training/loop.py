"""The training loop: stages one after the other, resumable at any step.

Step n draws from a key folded from (seed, n) and reads batch n of its stage, which is
a pure function of n. So a run goes on from a checkpoint to the bit: nothing but the
state is carried over.
"""

import contextlib
import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import jax

from codefusion import sharding
from codefusion.checkpoints import CheckpointError, Checkpoints
from codefusion.hosts import Roster, Watchdog
from codefusion.training import faults, resuming
from codefusion.training import step as steps
from codefusion.training.agreement import Agreement
from codefusion.training.compile_cache import compile_cache
from codefusion.training.goodput import Goodput
from codefusion.training.progress import Progress
from codefusion.training.records import NoRecords, Records
from codefusion.training.run import Evaluator, Run, Span, step_seconds_of
from codefusion.training.signals import StopSignals
from codefusion.training.stage import Batches, Stage
from codefusion.training.watch import Averages

__all__ = ["Batches", "Evaluator", "Stage", "train"]


def train(
    stages: Sequence[Stage],
    init_params: Callable,
    *,
    workdir: str | os.PathLike,
    seed: int,
    checkpoints: Checkpoints,
    config: dict | None = None,
    tokenizer_hash: str | None = None,
    files: Mapping[str, bytes] | None = None,
    evaluators: Sequence[Evaluator] = (),
    eval_every: int = 0,
    log_every: int = 20,
    on_non_finite: str = faults.STOP,
    watchdog_minutes: float = 0.0,
    compile_budget: float = 0.0,
    mesh=None,
    roster: Roster | None = None,
    load: Callable | None = None,
    stream=None,
) -> steps.TrainState:
    """Returns the state after the last stage, resuming from the newest checkpoint.

    Parameters carry over from stage to stage; the optimizer and the moving average
    start anew. SIGTERM or Ctrl-C saves and raises `Stopped`, which exits with code 0.
    With several processes, each calls this, and they do everything at the same step.

    Args:
      stages: what to train, in order.
      init_params: () -> the parameters to start from, traceable.
      workdir: folder of the metrics, the compiled programs and the checkpoints.
      seed: what every random draw is folded from.
      checkpoints: the run's checkpoints, prepared, with when to save them.
      config: the resolved config as nested dicts; a checkpoint of another is refused.
      tokenizer_hash: content hash of the tokenizer, likewise.
      files: what else lies beside each checkpoint, content by name.
      evaluators: called every `eval_every` steps and after the last.
      eval_every: steps between evaluations; 0 for none.
      log_every: steps that one row of metrics averages.
      on_non_finite: `faults.STOP`, or `SKIP` to leave out a batch whose loss or
        gradient is not finite.
      watchdog_minutes: without a step, until every thread's stack is written; 0 for
        never.
      compile_budget: seconds of compilation beyond which there is a warning; 0 for
        none.
      mesh: of all devices of all processes; None for one whose only axis is data.
      roster: the hosts of the run; None for a single process.
      load: changes the first parameters outside of a trace, as by those of a file.
      stream: where progress is shown; standard error if None.

    Raises:
      NonFiniteError: a loss, gradient or update was not finite, and is not skipped;
        nothing of it is saved.
      CheckpointError: nothing could be saved, or the checkpoints are of another run.
    """
    identity = resuming.identify(
        stages, seed=seed, config=config, tokenizer_hash=tokenizer_hash
    )
    spans = _spans(stages)
    mesh = sharding.make_mesh(sharding.MeshShape()) if mesh is None else mesh
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        goodput = enter(Goodput(workdir, compile_budget=compile_budget))
        watchdog = enter(Watchdog(workdir, minutes=watchdog_minutes, roster=roster))
        enter(compile_cache(workdir))
        enter(jax.set_mesh(mesh))
        stack.push(functools.partial(_settle, checkpoints))
        index, state, saved = _begin(
            mesh, spans, init_params, load, checkpoints, identity
        )
        goodput.resume(saved.get("goodput"))
        run = Run(
            workdir=pathlib.Path(workdir),
            checkpoints=checkpoints,
            identity=identity,
            files=dict(files or {}),
            evaluators=tuple(evaluators),
            eval_every=eval_every,
            log_every=log_every,
            on_non_finite=on_non_finite,
            goodput=goodput,
            watchdog=watchdog,
            agreement=Agreement(mesh),
            state=state,
            **_carried_over(saved, goodput),
            **_shown(stack, goodput, workdir, spans[-1].end, int(state.step), stream),
        )
        stack.callback(run.close)
        del state  # the run alone has it, and frees it between stages
        for span in spans[index:]:
            _run_stage(run, span, jax.random.key(seed), mesh)
        return run.finish()


def _settle(checkpoints, kind, error, trace):
    """Lets a save under way end where a run of one process fails."""
    del kind, trace
    if error is not None and jax.process_count() == 1:
        with contextlib.suppress(CheckpointError):
            checkpoints.wait()


def _spans(stages):
    spans, first = [], 0
    for stage in stages:
        if stage.num_steps > 0:
            spans.append(Span(stage, first))
            first = spans[-1].end
    if not spans:
        raise ValueError("training.num_steps is 0; expected at least 1.")
    return spans


def _on_mesh(mesh, make, *arguments):
    """Returns make(*arguments), a tree of parameters, born where it will lie."""
    shardings = sharding.state_shardings(jax.eval_shape(make, *arguments), mesh)
    return jax.jit(make, out_shardings=shardings)(*arguments)


def _new_state(mesh, init_params, load, optimizer):
    """Returns the state before the first step."""
    params = _on_mesh(mesh, init_params)
    if load is not None:
        placed = sharding.state_shardings(params, mesh)
        params = jax.device_put(load(params), placed)
    init = functools.partial(steps.init_state, optimizer=optimizer)
    return _on_mesh(mesh, init, params)


def _begin(mesh, spans, init_params, load, checkpoints, identity):
    """Returns (number of the span, state, what was saved beside the state)."""
    resuming.check_same_on_all_hosts(identity)
    step = checkpoints.latest()
    if step is None:
        return 0, _new_state(mesh, init_params, load, spans[0].stage.optimizer), {}
    saved = checkpoints.extra(step)
    workdir = checkpoints.workdir
    resuming.check_same_run(saved["identity"], identity, workdir=workdir)
    # At the border of two stages the state is still that of the earlier one.
    index = next(i for i, span in enumerate(spans) if step <= span.end)
    optimizer = spans[index].stage.optimizer
    shapes = jax.eval_shape(lambda: steps.init_state(init_params(), optimizer))
    return index, checkpoints.restore(step, sharding.on_mesh(shapes, mesh)), saved


def _carried_over(saved, goodput):
    """Returns what a run knows of the steps since its last report."""
    return dict(
        averages=Averages(saved.get("averages")),
        train_seconds=saved.get("train_seconds", 0.0),
        since=time.monotonic() - saved.get("seconds_since", 0.0),
        step_seconds=saved.get("step_seconds", step_seconds_of(goodput)),
    )


def _shown(stack, goodput, workdir, num_steps, step, stream):
    """Returns what a run writes to and listens to, closed with the stack."""
    enter = stack.enter_context
    is_first = jax.process_index() == 0
    if not is_first:
        stream = enter(open(os.devnull, "w"))
    progress = Progress(
        num_steps=num_steps,
        step=step,
        stream=stream,
        compiling=lambda: goodput.seconds()["compilation"],
    )
    found = dict(
        stop=enter(StopSignals()),
        records=enter(Records(workdir, from_step=step) if is_first else NoRecords()),
        progress=enter(progress),
        last_step=num_steps,
    )
    if step == num_steps:
        progress.note(f"Nothing left to do: trained {step} of {num_steps} steps.")
    elif step:
        progress.note(f"Resuming from step {step} of {num_steps}.")
    return found


def _run_stage(run, span, key, mesh):
    """Trains the rest of a stage."""
    stage = span.stage
    done = int(run.state.step)
    if done == span.first:
        run.tell_left_out(stage, done)
        if done > 0:
            params, run.state = run.state.params, None
            start = functools.partial(
                steps.init_state, optimizer=stage.optimizer, step=done
            )
            run.state = _on_mesh(mesh, start, params)
            del params
    train_step = steps.make_train_step(
        stage.loss_fn,
        stage.optimizer,
        ema_decay=stage.ema_decay,
        first_step=span.first,
        microbatches=stage.microbatches,
    )
    if done < span.end:
        run.progress.note(f"{stage.name}: compiling the training step.")
    watch = run.watch(span)
    place = sharding.RowPlacer(mesh, stage.batches.batch_size)
    with contextlib.closing(stage.batches.iterate(done - span.first)) as batches:
        for step in range(done + 1, span.end + 1):
            with run.goodput.spend("steps"):
                with run.goodput.spend("data_wait"):
                    batch = place(next(batches))
                run.state, metrics = train_step(run.state, batch, key)
                run.take(watch, step, metrics)
                run.after_step(watch, step, is_end=step == span.end)
