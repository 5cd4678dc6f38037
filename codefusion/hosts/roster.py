"""The hosts of a run gather before JAX starts, and later know when one is gone.

Host 0 listens, the others connect and say who they are. When all have come, host 0 says
so; when some have not come in time, every host ends with their names, where JAX would
abort. The connections stay open: an ended process closes its own at once, and the
kernel notices a machine that no longer answers. Host 0 tells the others, and each ends
with the name of the one that is gone instead of waiting in a collective.
"""

import contextlib
import dataclasses
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping

from codefusion.hosts import wire
from codefusion.hosts.cluster import Cluster

# How long a host that fails waits for news of another, whose end may be the reason.
GRACE_SECONDS = 2.0
_FIRST_WORD_SECONDS = 10.0
_ENDING_SECONDS = 5.0
_NOTE_SECONDS = 10.0


class RosterError(ValueError):
    """Hosts that are missing, differ or cannot be reached; the message names them."""


def end_process(text: str):
    """Ends this process with code 1, whatever its other threads wait for."""
    os.write(2, f"\ncodefusion: {text}\n".encode())
    os._exit(1)


@dataclasses.dataclass
class Roster:
    """The gathered hosts of a run, as one of them sees them.

    Attributes:
      cluster: the hosts; all names are known.
      run: an id that the hosts of this run share and no other run has.
      jax_port: of JAX's service at host 0.
      on_lost: called in a thread, with one line, when a host is gone.
    """

    cluster: Cluster
    run: str
    jax_port: int
    on_lost: Callable[[str], None]

    def __post_init__(self):
        self._lost, self._told = threading.Event(), threading.Event()
        self._ended = threading.Event()
        self._left = False

    def leave(self, timeout: float):
        """Says that this host is done, and waits until all are.

        Raises:
          RosterError: others are not done in `timeout` seconds.
        """
        self._left = True
        self._say_done()
        if not self._ended.wait(timeout):
            raise RosterError(
                f"Host {self._me()} is done, but after {timeout:g} s not all others."
            )

    def fail(self, reason: str):
        """Tells the others why this host ends.

        Where another host's end is the reason, this process ends with that one's name.

        Args:
          reason: one line.
        """
        if self._lost.wait(GRACE_SECONDS):
            self._told.wait(2 * _ENDING_SECONDS)
            return
        self._left = True
        self._say_failed(f"it failed, {reason}")

    def _lose(self, index, why):
        """Ends this process since a host is gone, unless it is ending already."""
        if self._left or self._lost.is_set():
            return
        self._lost.set()
        self._pass_on(index, why)
        self.on_lost(
            f"host {self.cluster.describe(index)} is gone: {why}. Host {self._me()} "
            "ends as well, since a step needs all hosts. Start all hosts again with "
            "the same command: the run goes on from its last checkpoint."
        )
        self._told.set()

    def _me(self):
        return self.cluster.describe(self.cluster.index)


def gather(
    cluster: Cluster,
    *,
    facts: Mapping[str, str] | None = None,
    timeout: float = 300.0,
    on_lost: Callable[[str], None] = end_process,
) -> Roster:
    """Returns the roster once all hosts are there.

    Args:
      cluster: the hosts to expect.
      facts: what must be the same on all hosts, such as versions, by name.
      timeout: seconds to wait for all of them.
      on_lost: called in a thread, with one line, when a host is gone.

    Raises:
      RosterError: hosts are missing or differ.
    """
    facts = {"number of processes": str(cluster.num_hosts), **(facts or {})}
    kind = _Server if cluster.index == 0 else _Client
    return kind.gather(cluster, facts, time.monotonic() + timeout, timeout, on_lost)


@dataclasses.dataclass
class _Peer:
    """A host as host 0 knows it."""

    line: wire.Line
    name: str
    done: bool = False


class _Gathering:
    """Host 0 while hosts arrive, and the connections of those that have."""

    def __init__(self, cluster, facts):
        self.cluster, self.facts = cluster, facts
        self.peers: dict[int, _Peer] = {}
        self.changed = threading.Condition()
        self.fault = None
        self.server = None  # the roster, once all are there
        self.threads = []

    def accept(self, listener):
        """Serves every connection in a thread of its own until the listener closes."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(wire.Line(connection),), daemon=True
            )
            self.threads.append(thread)
            thread.start()

    def missing(self):
        """Returns the indices of the hosts that are not there."""
        return [i for i in range(1, self.cluster.num_hosts) if i not in self.peers]

    def end(self, listener, reason):
        """Tells the hosts that are there, and those that come, why there is no run."""
        with self.changed:
            self.fault = reason
            self.send_all({"refused": reason})
        with contextlib.suppress(OSError):
            listener.shutdown(
                socket.SHUT_RDWR
            )  # which wakes `accept`, as close may not
        listener.close()

    def send_all(self, message):
        """Sends a message to every host that is there."""
        for peer in list(self.peers.values()):
            peer.line.send(message)

    def _serve(self, line):
        try:
            hello = line.receive(timeout=_FIRST_WORD_SECONDS) or {}
            index = self._admit(line, hello)
        except (OSError, ValueError):  # not one of ours
            index = None
        if index is not None:
            self._listen(index, line)
        line.close()

    def _admit(self, line, hello):
        """Returns the index of a host that is let in, None for another."""
        if not isinstance(hello.get("facts"), dict) or "index" not in hello:
            return None
        index, name = int(hello["index"]), str(hello["name"])
        with self.changed:
            refusal = self._refusal(index, name, hello["facts"])
            if refusal is None:
                self.peers[index] = _Peer(line, name)
            else:
                line.send({"refused": refusal})
            self.changed.notify_all()
        return index if refusal is None else None

    def _refusal(self, index, name, facts):
        if self.fault is not None:
            return self.fault
        for key in sorted(self.facts.keys() | facts.keys()):
            ours, theirs = self.facts.get(key), facts.get(key)
            if ours != theirs and self.server is None:
                self.fault = (
                    f"Host {index} ({name}) has {key} {theirs}, host 0 "
                    f"({socket.gethostname()}) {ours}; expected the same on all hosts."
                )
                return self.fault
        if self.server is not None:
            return (
                f"The run goes on without a host {index} that starts anew; end all "
                "hosts and start them together."
            )
        if not 0 < index < self.cluster.num_hosts or index in self.peers:
            taken = self.peers[index].name if index in self.peers else "host 0"
            return f"{name} is host {index}, but so is {taken}; give each its own."
        return None

    def _listen(self, index, line):
        """Hands on what a host says until its connection ends."""
        why = "its connection closed, so its process or machine ended"
        while message := line.receive():
            if "failed" in message:
                why = message["failed"]
                break
            if "done" in message:
                self.server.note_done(index)
        with self.changed:
            if self.server is None:
                del self.peers[index]  # it may come again
                self.changed.notify_all()
                return
        if not self.peers[index].done:
            self.server._lose(index, why)


class _Server(Roster):
    """The roster of host 0."""

    @classmethod
    def gather(cls, cluster, facts, deadline, timeout, on_lost):
        """Returns the roster; see the module's `gather`."""
        host, port = cluster.address
        try:
            listener = wire.listen(host, port)
        except OSError as error:
            raise RosterError(
                f"Host 0 cannot listen on port {port} ({error.strerror}); end what "
                "uses it, or give another --coordinator to all hosts."
            ) from error
        gathering = _Gathering(cluster, facts)
        threading.Thread(target=gathering.accept, args=(listener,), daemon=True).start()
        try:
            return cls._begin(gathering, deadline, timeout, on_lost, port + 1)
        except RosterError as error:
            gathering.end(listener, str(error))
            raise

    @classmethod
    def _begin(cls, gathering, deadline, timeout, on_lost, port):
        cluster = gathering.cluster
        with gathering.changed:
            _wait_for_all(gathering, deadline, timeout)
            names = [socket.gethostname()]
            names += [gathering.peers[i].name for i in range(1, cluster.num_hosts)]
            roster = cls(
                dataclasses.replace(cluster, names=tuple(names)),
                run=uuid.uuid4().hex,
                jax_port=wire.free_port(cluster.address[0], port),
                on_lost=on_lost,
            )
            roster._gathering = gathering
            gathering.server = roster
        begin = {"names": names, "run": roster.run, "jax_port": roster.jax_port}
        gathering.send_all({"begin": begin})
        return roster

    def note_done(self, index):
        """Notes that a host is done; the last one lets all go."""
        with self._gathering.changed:
            if index:
                self._gathering.peers[index].done = True
            if self._left and all(p.done for p in self._gathering.peers.values()):
                self._gathering.send_all({"end": True})
                self._ended.set()

    def _say_done(self):
        self.note_done(0)

    def _say_failed(self, reason):
        self._gathering.send_all({"lost": 0, "why": reason})
        self._let_others_end()

    def _pass_on(self, index, why):
        self._gathering.send_all({"lost": index, "why": why})
        self._let_others_end()

    def _let_others_end(self):
        """Waits for the others to go first: JAX aborts where its service goes first."""
        deadline = time.monotonic() + _ENDING_SECONDS
        for thread in self._gathering.threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))


def _wait_for_all(gathering, deadline, timeout):
    """Returns when all hosts are there; raises RosterError when one is missing."""
    noted = time.monotonic()
    while gathering.fault is None and (missing := gathering.missing()):
        now = time.monotonic()
        if now >= deadline:
            raise RosterError(_missing(gathering.cluster, missing, timeout))
        if now - noted >= _NOTE_SECONDS:
            noted = now
            listed = _listed(gathering.cluster, missing)
            print(f"Waiting for {listed}.", file=sys.stderr, flush=True)
            gathering.send_all({"missing": missing})
        gathering.changed.wait(min(1.0, deadline - now))
    if gathering.fault is not None:
        raise RosterError(gathering.fault)


class _Client(Roster):
    """The roster of any other host."""

    @classmethod
    def gather(cls, cluster, facts, deadline, timeout, on_lost):
        """Returns the roster; see the module's `gather`."""
        line = wire.Line(_connect(cluster, deadline, timeout))
        name = socket.gethostname()
        line.send({"index": cluster.index, "name": name, "facts": facts})
        try:
            begin = _wait_for_begin(line, cluster, deadline, timeout)
        except RosterError:
            line.close()
            raise
        cluster = dataclasses.replace(cluster, names=tuple(begin["names"]))
        roster = cls(cluster, begin["run"], begin["jax_port"], on_lost)
        roster._line = line
        threading.Thread(target=roster._listen, daemon=True).start()
        return roster

    def _listen(self):
        """Waits for news from host 0 until the end."""
        while message := self._line.receive():
            if "lost" in message:
                return self._lose(message["lost"], message["why"])
            if "end" in message:
                return self._ended.set()
        self._lose(0, "its connection closed, so its process or machine ended")

    def _say_done(self):
        self._line.send({"done": True})

    def _say_failed(self, reason):
        self._line.send({"failed": reason})

    def _pass_on(self, index, why):
        self._line.close()


def _connect(cluster, deadline, timeout):
    """Returns a connection to host 0, which may not have started yet."""
    while True:
        left = deadline - time.monotonic()
        try:
            return socket.create_connection(cluster.address, timeout=max(left, 0.1))
        except OSError as error:
            if left <= 0.5:
                raise RosterError(
                    f"Host {cluster.describe(cluster.index)} of {cluster.num_hosts} "
                    f"cannot reach host 0 at {cluster.coordinator} after "
                    f"{timeout:g} s ({error.strerror or error}). Is the same command "
                    "running there, and are that port and the next one open?"
                ) from error
        time.sleep(0.5)


def _wait_for_begin(line, cluster, deadline, timeout):
    """Returns host 0's word that all are there; raises RosterError for another."""
    missing = ()
    while True:
        try:
            left = max(deadline - time.monotonic(), 0.0) + _NOTE_SECONDS
            message = line.receive(timeout=left)
        except TimeoutError as error:
            raise RosterError(_missing(cluster, missing, timeout)) from error
        except ValueError as error:
            message = {"refused": f"{cluster.coordinator} is not a host 0: {error}."}
        if message is None:
            message = {"refused": "Host 0 ended while the hosts were gathering."}
        if "begin" in message:
            return message["begin"]
        if "refused" in message:
            raise RosterError(message["refused"])
        missing = message["missing"]


def _missing(cluster, indices, timeout):
    if not indices:
        return f"After {timeout:g} s host 0 has not said who is missing."
    return (
        f"After {timeout:g} s {len(indices)} of {cluster.num_hosts} hosts are missing: "
        f"{_listed(cluster, indices)}. Is the same command running there, and can they "
        f"reach {cluster.coordinator}? --host_timeout gives them longer."
    )


def _listed(cluster, indices, most=8):
    names = [cluster.describe(index) for index in indices[:most]]
    more = len(indices) - len(names)
    text = ", ".join(names) + (f" and {more} more" if more else "")
    return f"host{'s' if len(indices) > 1 else ''} {text}"
