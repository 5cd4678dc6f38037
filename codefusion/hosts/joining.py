"""A process becomes a host of a run: the roster, then JAX's distributed runtime."""

import atexit
import contextlib
import hashlib
import os
import pathlib
import socket
import sys
import time
from collections.abc import Iterator, Mapping

import jax

from codefusion.hosts import roster as rosters
from codefusion.hosts.cluster import Cluster

_PORT_SECONDS = 60.0


@contextlib.contextmanager
def join(
    cluster: Cluster | None,
    *,
    facts: Mapping[str, str] | None = None,
    timeout: float = 300.0,
) -> Iterator[rosters.Roster | None]:
    """A context in which `jax.devices()` are those of all hosts of a run.

    To be entered before JAX knows its devices. At a clean end all hosts leave together;
    where one fails or dies, the others end with its name and code 1.

    Args:
      cluster: the hosts; None for a single process, which then joins nothing.
      facts: what must be the same on all hosts, by name; the versions of Python and
        JAX and a hash of this package's code are added.
      timeout: seconds that hosts wait for each other at the start and at the end.

    Yields:
      The roster, None for a single process.

    Raises:
      RosterError: hosts are missing, differ, or cannot be reached.
    """
    if cluster is None:
        yield None
        return
    facts = _own_facts() | dict(facts or {})
    roster = rosters.gather(cluster, facts=facts, timeout=timeout)
    try:
        _initialize(roster, timeout)
        yield roster
    except BaseException as error:
        if not _is_clean(error):
            _fail(roster, error)
            raise
        _leave(roster, timeout)
        raise
    _leave(roster, timeout)


def _own_facts():
    python = ".".join(map(str, sys.version_info[:2]))
    code = code_hash(pathlib.Path(__file__).parents[1])
    return {"Python": python, "jax": jax.__version__, "code": code}


def code_hash(package: pathlib.Path) -> str:
    """Returns a hash of the modules of a package.

    Hosts whose programs differ wait for each other in collectives that never meet.

    Args:
      package: its folder.
    """
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(package)} {content}\n".encode())
    return digest.hexdigest()[:12]


def _initialize(roster, timeout):
    """Starts JAX's distributed runtime; all its processes are known to be there."""
    cluster = roster.cluster
    host, _ = cluster.address
    seconds = max(1, round(timeout))
    if cluster.index:
        _wait_for_port(cluster, (host, roster.jax_port))
    on_loopback = host == "localhost" or host.startswith("127.")
    address = f"[{host}]" if ":" in host else host
    jax.distributed.initialize(
        f"{address}:{roster.jax_port}",
        cluster.num_hosts,
        cluster.index,
        local_device_ids=cluster.local_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=seconds,
        shutdown_timeout_seconds=seconds,
        coordinator_bind_address=(
            f"{address}:{roster.jax_port}" if on_loopback else None
        ),
    )


def _wait_for_port(cluster, address):
    """Returns when JAX's service is up at host 0; raises RosterError where it is not.

    JAX would wait and abort where a firewall lets one port through and not the next.
    """
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        try:
            socket.create_connection(address, timeout=_PORT_SECONDS).close()
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise rosters.RosterError(
                    f"Host {cluster.describe(cluster.index)} reaches host 0 at port "
                    f"{cluster.address[1]} but not at port {address[1]}, where JAX's "
                    f"service is ({error.strerror or error}); open both."
                ) from error
        time.sleep(0.2)


def _is_clean(error):
    return isinstance(error, SystemExit) and error.code in (0, None)


def _fail(roster, error):
    text = " ".join(str(error).split())[:300]
    roster.fail(f"{type(error).__name__}: {text}".rstrip(": "))
    # JAX's own end at exit waits for hosts that are gone, and aborts.
    atexit.register(_end)


def _leave(roster, timeout):
    """Ends JAX's runtime once all hosts are done with it."""
    try:
        roster.leave(timeout)
    except rosters.RosterError:
        atexit.register(_end)
        raise
    jax.distributed.shutdown()


def _end():
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)
