"""Connections that carry JSON objects, and notice by themselves that a peer is gone."""

import contextlib
import errno
import json
import socket
import threading
from typing import Any

# A machine that loses power says nothing. The kernel asks after SILENT seconds and
# gives up after PROBES more; no Python is needed at either end, so that a host in a
# long call that holds the interpreter's lock is not taken for dead.
SILENT_SECONDS = 6
PROBE_SECONDS = 3
PROBES = 4
CLOSED = "its connection closed, so its process or machine ended"
_LONGEST_LINE = 1 << 20


def garbled(error: Exception) -> str:
    """Returns why a peer is gone whose word led to an error."""
    return f"what it said is not understood ({type(error).__name__}: {error})"


class Line:
    """A TCP connection for messages, each a JSON object of one line."""

    def __init__(self, connection: socket.socket):
        notice_dead_peer(connection)
        self._socket = connection
        self._reader = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, message: dict[str, Any]) -> bool:
        """Sends a message; returns whether the connection still took it."""
        data = json.dumps(message).encode() + b"\n"
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError:
            return False
        return True

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Returns the next message, None where the connection has ended.

        Args:
          timeout: seconds to wait; None as long as the peer's machine answers.

        Raises:
          TimeoutError: nothing came in that time. The connection is of no use then.
          ValueError: what came is no message.
        """
        try:
            self._socket.settimeout(timeout)
            data = self._reader.readline(_LONGEST_LINE)
        except TimeoutError:
            if timeout is None:  # of the kernel: the peer's machine does not answer
                return None
            raise
        except (OSError, ValueError):  # ValueError: closed by another thread
            return None
        if not data.endswith(b"\n"):
            return None
        message = json.loads(data)
        if not isinstance(message, dict):
            raise ValueError(f"{data[:80]!r} is no message")
        return message

    def close(self):
        """Ends the connection, for a thread that waits on it too."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.close()  # it would keep the socket open
        self._socket.close()


def notice_dead_peer(connection: socket.socket):
    """Makes the kernel end a connection whose peer's machine does not answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    silent_milliseconds = 1000 * (SILENT_SECONDS + PROBES * PROBE_SECONDS)
    options = {
        "TCP_KEEPIDLE": SILENT_SECONDS,
        "TCP_KEEPINTVL": PROBE_SECONDS,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": silent_milliseconds,
        "TCP_NODELAY": 1,
    }
    for name, value in options.items():
        if hasattr(socket, name):  # Linux has them all
            number = getattr(socket, name)
            connection.setsockopt(socket.IPPROTO_TCP, number, value)


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket: on loopback for such a host, else everywhere.

    Args:
      host: how others reach this machine.
      port: 0 for any that is free.

    Raises:
      OSError: the port is taken.
    """
    if host == "localhost" or host.startswith("127."):
        return socket.create_server(("127.0.0.1", port), backlog=1024)
    try:
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
        )
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES):
            raise
    return socket.create_server(("", port), backlog=1024)  # without IPv6


def free_port(host: str, wanted: int) -> int:
    """Returns `wanted` if this machine can listen there, else another port."""
    try:
        probe = listen(host, wanted)
    except (OSError, OverflowError):
        probe = listen(host, 0)
    with probe:
        return probe.getsockname()[1]
