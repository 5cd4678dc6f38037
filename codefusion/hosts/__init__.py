"""Several processes as one run: who they are, that all are there, that none hangs.

`cluster` finds the hosts, `roster` gathers them and notices when one is gone,
`joining` starts JAX's distributed runtime between the two, `watchdog` writes heartbeats
and the stacks of a run that takes no more steps. A host is one process of the run.
"""

from codefusion.hosts.cluster import Cluster, find
from codefusion.hosts.joining import join
from codefusion.hosts.roster import Roster, RosterError
from codefusion.hosts.watchdog import Heartbeat, Watchdog

__all__ = [
    "Cluster",
    "Heartbeat",
    "Roster",
    "RosterError",
    "Watchdog",
    "find",
    "join",
]
