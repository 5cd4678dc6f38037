"""Runs one codefusion command as several processes of this machine's CPU.

    python launch/local.py --processes=2 --devices=2 -- \\
        train --config=configs/tiny.py --workdir=runs/tiny

Each process has its own devices and finds the others on the loopback interface, as the
hosts of a pod find each other. Ctrl-C reaches all of them once.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time

# A process that is left over ends by itself within 30 seconds of another's death.
SECONDS_TO_END = 60.0


def main(argv):
    """Returns the exit code of the run: 0, or that of a process that failed."""
    options = parse(argv)
    port = free_port()
    asked = []  # signals to pass on, once all processes are there
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda given, frame: asked.append(given))
    processes = [start(options, index, port) for index in range(options.processes)]
    printers = [
        threading.Thread(target=print_lines, args=(index, process.stdout))
        for index, process in enumerate(processes)
    ]
    for printer in printers:
        printer.start()
    codes = wait(processes, asked)
    for printer in printers:
        printer.join(timeout=SECONDS_TO_END)
    return next((abs(code) for code in codes if code), 0)


def parse(argv):
    """Returns the options, with the codefusion command in `words`."""
    form = "python launch/local.py [--processes=N] [--devices=M] -- COMMAND ..."
    parser = argparse.ArgumentParser(usage=form, allow_abbrev=False)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--devices", type=int, default=1, help="of each process")
    parser.add_argument("words", nargs="+", help="a codefusion command and its flags")
    options = parser.parse_args(argv)
    if options.processes < 1 or options.devices < 1:
        parser.error("--processes and --devices are at least 1")
    return options


def free_port():
    """Returns a port of the loopback interface that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start(options, index, port):
    """Returns the started process of an index."""
    devices = f"--xla_force_host_platform_device_count={options.devices}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {devices}".strip()
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "codefusion", *options.words),
            f"--coordinator=127.0.0.1:{port}",
            f"--num_processes={options.processes}",
            f"--process_id={index}",
        ],
        env=dict(os.environ, JAX_PLATFORMS="cpu", XLA_FLAGS=flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Else Ctrl-C would reach it twice, and the second one aborts.
        start_new_session=True,
    )


def print_lines(index, stream):
    """Prints what a process writes, each line with its index before it.

    Left out is what JAX's transport on CPUs says of every connection that succeeds.
    """
    for line in stream:
        if not line.startswith("[Gloo] Rank "):
            print(f"[{index}] {line}", end="", flush=True)


def pass_on(processes, number):
    """Sends a signal to every process that still runs."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def wait(processes, asked):
    """Returns the exit codes; kills what outlives a failed process for long.

    Args:
      processes: the started ones.
      asked: signals to pass on, a list that grows meanwhile.
    """
    failed_at = None
    while any(process.poll() is None for process in processes):
        while asked:
            pass_on(processes, asked.pop(0))
        if failed_at is None and any(process.returncode for process in processes):
            failed_at = time.monotonic()
        if failed_at and time.monotonic() - failed_at > SECONDS_TO_END:
            pass_on(processes, signal.SIGKILL)
        time.sleep(0.1)
    return [process.returncode for process in processes]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
