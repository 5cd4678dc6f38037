"""The hosts of a run gather before JAX starts, and later know when one is gone.

Host 0 listens, the others connect and say who they are. When all have come, host 0 says
so; when some have not come in time, every host ends with their names, where JAX would
abort. The connections stay open: an ended process closes its own at once, and the
kernel notices a machine that no longer answers. Host 0 tells the others, and each ends
with the name of the one that is gone instead of waiting in a collective.
"""

import dataclasses
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping

from codefusion.hosts import wire
from codefusion.hosts.cluster import Cluster
from codefusion.hosts.gathering import (
    NOTE_SECONDS,
    Gathering,
    RosterError,
    missing_text,
)

__all__ = ["Roster", "RosterError", "gather"]

# How long a host that fails waits for news of another, whose end may be the reason.
GRACE_SECONDS = 2.0
_ENDING_SECONDS = 5.0


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
        self._ended, self._losing = threading.Event(), threading.Lock()
        self._done = False

    def leave(self, timeout: float):
        """Says that this host is done, and waits until all are.

        A host that ends before it is done still ends this process.

        Raises:
          RosterError: others are not done in `timeout` seconds.
        """
        self._done = True
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
        self._lost.set()  # what the others do now is no news
        self._say_failed(f"it failed, {reason}")

    def lose(self, index, why):
        """Ends this process since a host is gone, unless it is ending already.

        Args:
          index: of the host.
          why: for the message.
        """
        with self._losing:
            if self._lost.is_set():
                return
            self._lost.set()
        self._pass_on(index, why)
        self.on_lost(
            f"host {self.cluster.describe(index)} is gone: {why.rstrip('.')}. Host "
            f"{self._me()} ends as well, since a step needs all hosts. Once that is "
            "mended, start all hosts again: the run goes on from its last checkpoint, "
            "if there is one."
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


class _Server(Roster):
    """The roster of host 0."""

    @classmethod
    def gather(cls, cluster, facts, deadline, timeout, on_lost):
        """Returns the roster; see the module's `gather`."""
        gathering = Gathering(cluster, facts)
        try:
            return cls._begin(gathering, cluster, deadline, timeout, on_lost)
        except RosterError as error:
            gathering.end(str(error))
            raise

    @classmethod
    def _begin(cls, gathering, cluster, deadline, timeout, on_lost):
        host, port = cluster.address
        with gathering.changed:
            gathering.wait_for_all(timeout, deadline)
            others = (gathering.peers[i].name for i in range(1, cluster.num_hosts))
            names = (socket.gethostname(), *others)
            roster = cls(
                dataclasses.replace(cluster, names=names),
                run=uuid.uuid4().hex,
                jax_port=wire.free_port(host, port + 1),
                on_lost=on_lost,
            )
            roster._gathering = gathering
            gathering.roster = roster
            begin = {"names": names, "run": roster.run, "jax_port": roster.jax_port}
            # Under the lock, which a host's loss needs: nobody hears of that before.
            gathering.send_all({"begin": begin})
        return roster

    def note_done(self, index):
        """Notes that another host is done; the last one lets all go."""
        self._gathering.peers[index].done = True
        self._say_done()

    def _say_done(self):
        peers = self._gathering.peers.values()
        if self._done and all(peer.done for peer in peers):
            self._gathering.send_all({"end": True})
            self._ended.set()

    def _say_failed(self, reason):
        self._pass_on(0, reason)

    def _pass_on(self, index, why):
        self._gathering.send_all({"lost": index, "why": why})
        # JAX aborts the others if its service, which is here, goes before them.
        self._gathering.wait_for_ends(_ENDING_SECONDS)


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
        except BaseException:
            line.close()
            raise
        cluster = dataclasses.replace(cluster, names=tuple(begin["names"]))
        roster = cls(cluster, begin["run"], begin["jax_port"], on_lost)
        roster._line = line
        threading.Thread(target=roster._listen, daemon=True).start()
        return roster

    def _listen(self):
        """Waits for news from host 0 until the end."""
        index, why = 0, wire.CLOSED
        try:
            while message := self._line.receive():
                if "end" in message:
                    return self._ended.set()
                if "lost" in message:
                    index, why = int(message["lost"]), str(message["why"])
                    break
        except (ValueError, TypeError, LookupError) as error:
            why = wire.garbled(error)
        self.lose(index, why)

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
            left = max(deadline - time.monotonic(), 0.0) + NOTE_SECONDS
            message = line.receive(timeout=left)
        except TimeoutError as error:
            raise RosterError(missing_text(cluster, missing, timeout)) from error
        except ValueError as error:
            message = {"refused": f"{cluster.coordinator} is not a host 0: {error}."}
        if message is None:
            message = {"refused": "Host 0 ended while the hosts were gathering."}
        if "begin" in message:
            return message["begin"]
        if "refused" in message:
            raise RosterError(message["refused"])
        if "missing" not in message:
            raise RosterError(
                f"Host 0 at {cluster.coordinator} said {str(message)[:80]} while the "
                "hosts were gathering; expected that all are there or who is missing. "
                "Start all hosts again from the same checkout."
            )
        missing = message["missing"]
