"""Processes on loopback train as one, and none outlives another's death.

    python -m benchmarks.reliability.processes --kills=4 --stops=2 --seed=0
    python -m benchmarks.reliability.processes --program=toy --kills=50 --stops=20

A run is trained by one process, and by two that have its devices between them: the
losses must agree to 1e-6. Then one of two is killed at random moments, some before the
first step: the other must end within 30 seconds with code 1 and name it. SIGTERM goes
to one of the two, and both must save at the same step and exit with 0. In the end the
run that all this happened to must have the losses, bit for bit, of the one it did not.

The tiny config takes one to two minutes a start on two CPU cores, as process 1 cannot
read what process 0 compiled for a CPU; the toy takes five seconds.
"""

import dataclasses
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

from benchmarks.reliability import harness
from benchmarks.reliability.runs import FIRST_STAGE, ROOT, Settings
from codefusion.checkpoints import Checkpoints
from codefusion.hosts import watchdog

NUM_PROCESSES = 2
CLOSE = 1e-6  # of losses whose sums are in another order
SECONDS = 30.0  # within which a process ends after another's death
_HOST_TIMEOUT = 20.0
_EARLY = 0.25  # share of the kills that come before a step is logged
_EARLY_SECONDS = 5.0
_MARGIN = 10  # steps before the end, after which a run is left to finish


@dataclasses.dataclass
class Tally(harness.Tally):
    """What happened."""

    kills: int = 0
    kills_before_a_step: int = 0
    stops: int = 0
    most_seconds_to_end: float = 0.0
    largest_difference: float = 0.0
    unnamed_deaths: int = harness.fault()
    wrong_exit_codes: int = harness.fault()
    stops_at_different_steps: int = harness.fault()
    wrong_losses: int = harness.fault()


class Job:
    """One start of all processes of a run.

    Args:
      workdir: the work directory that they share.
      settings: the `Settings` of the run.
      program: "tiny" or "toy".
      num_processes: how many there are.
      devices: of each.
    """

    def __init__(self, workdir, settings, *, program, num_processes, devices):
        self.workdir = pathlib.Path(workdir)
        self.workdir.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._port = server.getsockname()[1]
        words = COMMANDS[program](self.workdir, settings)
        self.processes = [
            self._start(words, index, num_processes, devices)
            for index in range(num_processes)
        ]

    def printed(self, index):
        """Returns what a process has printed."""
        return self._log(index).read_text(errors="replace")

    def logged(self):
        """Returns the last step whose loss is in the metrics."""
        return max(harness.losses(self.workdir), default=0)

    def runs(self):
        """Returns whether all processes run."""
        return all(process.poll() is None for process in self.processes)

    def until(self, step, seconds=2 * harness.TIMEOUT):
        """Waits until a step is logged or a process ends, for some time at most."""
        deadline = time.monotonic() + seconds
        while self.logged() < step and self.runs() and time.monotonic() < deadline:
            time.sleep(0.02)

    def wait(self, seconds=2 * harness.TIMEOUT):
        """Returns the exit codes; None of a process that had to be killed."""
        deadline = time.monotonic() + seconds
        codes = [_wait(p, deadline - time.monotonic()) for p in self.processes]
        for process in self.processes:
            process.kill()
            process.wait()
        return codes

    def _log(self, index):
        return self.workdir.with_name(f"{self.workdir.name}.{index}.log")

    def _start(self, words, index, num_processes, devices):
        flags = f"--xla_force_host_platform_device_count={devices}"
        given = [
            f"--coordinator=127.0.0.1:{self._port}",
            f"--num_processes={num_processes}",
            f"--process_id={index}",
            f"--host_timeout={_HOST_TIMEOUT}",
        ]
        with open(self._log(index), "wb") as log:
            return subprocess.Popen(
                [*words, *given],
                cwd=ROOT,
                env=dict(os.environ, PYTHONPATH=str(ROOT), XLA_FLAGS=flags),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _tiny(workdir, settings):
    changes = {
        "data.size": 200,
        "pretraining.num_steps": FIRST_STAGE,
        "training.num_steps": settings.steps - FIRST_STAGE,
        "training.checkpoint_every": settings.every,
        "training.log_every": settings.log_every,
    }
    return [
        *(sys.executable, "-m", "codefusion", "train"),
        f"--config={ROOT / 'configs' / 'tiny.py'}",
        f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in changes.items()),
    ]


def _toy(workdir, settings):
    return [
        *(sys.executable, "-m", "benchmarks.reliability.toy_host"),
        f"--workdir={workdir}",
        f"--steps={settings.steps}",
        f"--every={settings.every}",
    ]


COMMANDS = {"tiny": _tiny, "toy": _toy}


def _wait(process, seconds):
    try:
        return process.wait(max(seconds, 0.0))
    except subprocess.TimeoutExpired:
        return None


def names(printed, gone):
    """Returns whether the last complaint of a process names a host by its index."""
    complaints = re.findall(r"^codefusion: (.*)$", printed, re.MULTILINE)
    return bool(complaints and re.search(rf"\bhosts? {gone}\b", complaints[-1]))


def difference(losses, others):
    """Returns the largest relative difference of two runs' losses by step.

    Args:
      losses: {step: the loss in hexadecimal}.
      others: likewise; infinitely far where it has not the same steps.
    """
    if losses.keys() != others.keys() or not losses:
        return float("inf")
    pairs = [(float.fromhex(losses[s]), float.fromhex(others[s])) for s in losses]
    return max(abs(one - other) / abs(one) for one, other in pairs)


def train(workdir, settings, **shape):
    """Returns the losses by step, in hexadecimal, of a run that nothing happens to."""
    job = Job(workdir, settings, **shape)
    codes = job.wait()
    if any(code != 0 for code in codes):
        raise RuntimeError(f"exit codes {codes}: {job.printed(0)[-2000:]}")
    return harness.losses(workdir)


def kill(job, tally, rng):
    """Kills a process at a random moment, and judges how the other ends."""
    gone = rng.randrange(NUM_PROCESSES)
    first = job.logged()
    if rng.random() < _EARLY:
        time.sleep(rng.uniform(0.0, _EARLY_SECONDS))
        tally.kills_before_a_step += job.logged() == first
    else:
        job.until(first + rng.randrange(1, _MARGIN))
        time.sleep(rng.uniform(0.0, 0.2))
    job.processes[gone].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    left = 1 - gone
    code = _wait(job.processes[left], SECONDS)
    seconds = time.monotonic() - killed
    job.wait(seconds=0.0)
    tally.kills += 1
    tally.most_seconds_to_end = max(tally.most_seconds_to_end, round(seconds, 2))
    tally.wrong_exit_codes += code != 1
    tally.unnamed_deaths += not names(job.printed(left), gone)
    if code != 1 or not names(job.printed(left), gone):
        print(f"code {code}: {job.printed(left)[-2000:]}", file=sys.stderr)


def stop(job, tally, rng):
    """Sends SIGTERM to one process, and judges where both of them end."""
    job.until(job.logged() + rng.randrange(1, _MARGIN))
    rng.choice(job.processes).send_signal(signal.SIGTERM)
    codes = job.wait()
    tally.stops += 1
    tally.wrong_exit_codes += any(code != 0 for code in codes)
    steps = {beat.step for beat in watchdog.read(job.workdir)}
    tally.stops_at_different_steps += steps != {Checkpoints(job.workdir).latest()}
    if any(code != 0 for code in codes):
        print(f"codes {codes}: {job.printed(0)[-2000:]}", file=sys.stderr)


def disturb(workdir, settings, tally, *, kills, stops, rng, **shape):
    """Trains a run to its end that is killed and stopped on its way.

    Args:
      workdir: the work directory.
      settings: the `Settings`.
      tally: gets what happened.
      kills: how often one process is killed.
      stops: how often one is told to stop.
      rng: draws which process, and when.
      **shape: of the `Job`.

    Returns:
      The losses by step, in hexadecimal.
    """
    events = [kill] * kills + [stop] * stops
    rng.shuffle(events)
    for event in events:
        event(Job(workdir, settings, **shape), tally, rng)
    return train(workdir, settings, **shape)


def held(tally, *, kills, stops):
    """Returns {what was to hold: whether it did}."""
    return {
        f"losses to {CLOSE}": tally.largest_difference <= CLOSE,
        f"ends within {SECONDS:g} s": tally.most_seconds_to_end <= SECONDS,
        f"{kills} kills": tally.kills == kills,
        f"{stops} stops": tally.stops == stops,
        **tally.held(),
    }


def measure(root, *, program, kills, stops, devices, seed, every):
    """Returns the `Tally` of all.

    Args:
      root: folder for the work directories.
      program: "tiny" or "toy".
      kills: how often one of two processes is killed.
      stops: how often one is told to stop.
      devices: of each process.
      seed: of the moments.
      every: steps between checkpoints.
    """
    tally, rng = Tally(), random.Random(seed)
    # Long enough that no event finds the run at its end.
    steps = FIRST_STAGE + 2 * _MARGIN * (kills + stops + 1)
    settings = Settings(steps=steps, every=every)
    one = dict(program=program, num_processes=1, devices=NUM_PROCESSES * devices)
    two = dict(program=program, num_processes=NUM_PROCESSES, devices=devices)
    alone = train(root / "alone", settings, **one)
    together = train(root / "together", settings, **two)
    tally.largest_difference = difference(alone, together)
    options = dict(kills=kills, stops=stops, rng=rng, **two)
    found = disturb(root / "disturbed", settings, tally, **options)
    tally.wrong_losses = sum(found.get(s) != loss for s, loss in together.items())
    return tally


def main():
    """Trains, kills and stops as the flags say and ends in a line of figures."""
    defaults = dict(program="tiny", kills=4, stops=2, devices=1, every=5)
    flags = harness.parser(__doc__, **defaults).parse_args()
    with harness.scratch() as root:
        tally = measure(root, **vars(flags))
    figures = held(tally, kills=flags.kills, stops=flags.stops)
    harness.finish("processes", dataclasses.asdict(tally), figures)


if __name__ == "__main__":
    main()
