"""Host 0's side: it waits for the others, lets them in and listens to each."""

import contextlib
import dataclasses
import socket
import sys
import threading
import time

from codefusion.hosts import wire

FIRST_WORD_SECONDS = 10.0
NOTE_SECONDS = 10.0
# How long host 0 still tells those that come late why there is no run.
LINGER_SECONDS = 5.0


class RosterError(ValueError):
    """Hosts that are missing, differ or cannot be reached; the message names them."""


@dataclasses.dataclass
class Peer:
    """Another host as host 0 knows it.

    Attributes:
      line: the connection to it.
      name: of its machine.
      done: whether it said that it is done.
    """

    line: wire.Line
    name: str
    done: bool = False


class Gathering:
    """The hosts that have come to host 0.

    Args:
      cluster: the hosts to expect.
      facts: what must be the same on all hosts.

    Attributes:
      peers: by index, the other hosts that are there.
      changed: the lock over all of this, notified at changes.
      roster: host 0's, once all are there.
    """

    def __init__(self, cluster, facts):
        host, port = cluster.address
        try:
            self._listener = wire.listen(host, port)
        except OSError as error:
            raise RosterError(
                f"Host 0 cannot listen on port {port} ({error.strerror}); end what "
                "uses it, or give another --coordinator to all hosts."
            ) from error
        self.peers: dict[int, Peer] = {}
        self.changed = threading.Condition()
        self.roster = None
        self._cluster, self._facts = cluster, facts
        self._fault = None
        self._threads = []
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for_all(self, timeout, deadline):
        """Returns when all hosts are there; `changed` is held.

        Raises:
          RosterError: a host is missing at the deadline, or differs.
        """
        noted = time.monotonic()
        while self._fault is None and (missing := self._missing()):
            now = time.monotonic()
            if now >= deadline:
                raise RosterError(missing_text(self._cluster, missing, timeout))
            if now - noted >= NOTE_SECONDS:
                noted = now
                listed = _listed(self._cluster, missing)
                print(f"Waiting for {listed}.", file=sys.stderr, flush=True)
                self.send_all({"missing": missing})
            self.changed.wait(min(1.0, deadline - now))
        if self._fault is not None:
            raise RosterError(self._fault)

    def send_all(self, message):
        """Sends a message to every host that is there."""
        for peer in list(self.peers.values()):
            peer.line.send(message)

    def end(self, reason):
        """Tells the hosts that are there, and those that come, why there is no run.

        The latter for some seconds, in which this process does not end.
        """
        with self.changed:
            self._fault = reason
            self.send_all({"refused": reason})
        threading.Timer(LINGER_SECONDS, self._close).start()

    def _close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`; close may not
        self._listener.close()

    def wait_for_ends(self, seconds):
        """Returns when all connections have ended, or after some seconds."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _missing(self):
        return [i for i in range(1, self._cluster.num_hosts) if i not in self.peers]

    def _accept(self):
        """Serves every connection in a thread of its own until the listener closes."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            line = wire.Line(connection)
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, line):
        try:
            hello = line.receive(timeout=FIRST_WORD_SECONDS) or {}
            index = self._admit(line, hello)
        except (OSError, ValueError, TypeError, LookupError):
            index = None  # not one of ours
        if index is not None:
            self._part(index, self._listen(index, line))
        line.close()

    def _admit(self, line, hello):
        """Returns the index of a host that is let in, None for another."""
        index, name, facts = int(hello["index"]), str(hello["name"]), hello["facts"]
        with self.changed:
            refusal = self._refusal(index, name, dict(facts))
            if refusal is None:
                self.peers[index] = Peer(line, name)
            else:
                line.send({"refused": refusal})
            self.changed.notify_all()
        return index if refusal is None else None

    def _refusal(self, index, name, facts):
        """Returns why a host cannot be let in, None if it can."""
        if self.roster is not None:
            return (
                f"The run goes on without a host {index} that starts anew; end all "
                "hosts and start them together."
            )
        for key in sorted(self._facts.keys() | facts.keys()):
            ours, theirs = self._facts.get(key), facts.get(key)
            if ours != theirs and self._fault is None:
                self._fault = (
                    f"Host {index} ({name}) has {key} {theirs}, host 0 "
                    f"({socket.gethostname()}) {ours}; expected the same on all hosts."
                )
        if self._fault is not None:
            return self._fault
        if not 0 < index < self._cluster.num_hosts or index in self.peers:
            taken = self.peers[index].name if index in self.peers else "host 0"
            return f"{name} is host {index}, but so is {taken}; give each its own."
        return None

    def _listen(self, index, line):
        """Returns why a host is gone, once it is; notes when it is done."""
        try:
            while message := line.receive():
                if "failed" in message:
                    return str(message["failed"])
                if "done" in message:
                    self.roster.note_done(index)
        except Exception as error:  # whatever it is, the host is heard no more
            return wire.garbled(error)
        return wire.CLOSED

    def _part(self, index, why):
        """Forgets a host that is gone before the run, and loses one of the run."""
        with self.changed:
            if self.roster is None:
                del self.peers[index]  # it may come again
                self.changed.notify_all()
                return
        if not self.peers[index].done:
            self.roster.lose(index, why)


def missing_text(cluster, indices, timeout):
    """Returns the reason of a run that does not start, with the missing hosts' names.

    Args:
      cluster: the expected hosts.
      indices: of the missing ones; empty where they are not known.
      timeout: seconds that they were given.
    """
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
