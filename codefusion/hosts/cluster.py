"""Which hosts a run has and which of them this is: from flags, or from the cluster.

A host here is one process of the run. SLURM and GKE tell in environment variables, a
TPU VM on its metadata server. JAX could ask them too, but only inside
`jax.distributed.initialize`, which waits for hosts that never come and then aborts: the
hosts must be known before it is called.
"""

import dataclasses
import glob
import importlib.util
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping

# Beside those of libtpu (8476) and Megascale (8080); JAX's service has the next one.
TPU_PORT = 8481
_METADATA_SECONDS = 5.0
_METADATA_TRIES = 3


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The hosts of a run.

    Attributes:
      found_in: what told of them.
      coordinator: host 0 and the port that the others find it at, "host:port"; JAX's
        own service takes the port after it.
      num_hosts: at least 2.
      index: of this host.
      names: by index, as far as they are known beforehand.
      local_devices: which accelerators of the machine are this process's; None for all.
    """

    found_in: str
    coordinator: str
    num_hosts: int
    index: int
    names: tuple[str, ...] = ()
    local_devices: tuple[int, ...] | None = None

    def __post_init__(self):
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(
                f"the coordinator of {self.found_in} is {self.coordinator!r}; expected "
                "HOST:PORT of host 0, such as --coordinator=10.0.0.2:8481."
            )
        if not 0 <= self.index < self.num_hosts:
            raise ValueError(
                f"the process id of {self.found_in} is {self.index}; expected 0 to "
                f"{self.num_hosts - 1}, as there are {self.num_hosts} processes."
            )

    @property
    def address(self) -> tuple[str, int]:
        """The coordinator as (host, port)."""
        host, _, port = self.coordinator.rpartition(":")
        return host.strip("[]"), int(port)

    def describe(self, index: int) -> str:
        """Returns a host's index and, where it is known, its name: "3 (node-b)"."""
        known = index < len(self.names) and self.names[index]
        return f"{index} ({self.names[index]})" if known else str(index)


def find(
    *,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> Cluster | None:
    """Returns the hosts of this run, None where this process is all of it.

    The three flags go before what is found; --coordinator may also stand alone and
    replace the address in what is found.

    Args:
      coordinator: --coordinator, "host:port" of host 0.
      num_processes: --num_processes.
      process_id: --process_id.
      environ: the environment variables; None for those of this process.

    Raises:
      ValueError: flags are missing or contradict each other.
    """
    environ = os.environ if environ is None else environ
    flags = dict(
        coordinator=coordinator, num_processes=num_processes, process_id=process_id
    )
    lacking = [f"--{name}" for name, value in flags.items() if value is None]
    if not lacking:
        found = Cluster("the flags", coordinator, num_processes, process_id)
    else:
        found = _detect(environ)
        if lacking != list(map("--{}".format, flags)):
            found = _with_coordinator(found, coordinator, lacking)
    return found if found and found.num_hosts > 1 else None


def _with_coordinator(found, coordinator, lacking):
    """Returns what was found at another address, if that is all the flags say."""
    if found is None or coordinator is None or len(lacking) != 2:
        raise ValueError(
            f"{' and '.join(lacking)} must be given too; expected --coordinator, "
            "--num_processes and --process_id together."
        )
    return dataclasses.replace(found, coordinator=coordinator)


def _detect(environ):
    detectors = (_find_slurm, _find_gke, _find_tpu_vm)
    return next((found for each in detectors if (found := each(environ))), None)


def _find_slurm(environ):
    """Returns the tasks of the SLURM step that runs this, None outside of one.

    A step, and not the job: a batch script without srun is one process.
    """
    wanted = ("SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
    if not all(environ.get(name) for name in wanted):
        return None
    nodes, size, index = (environ[name] for name in wanted)
    names = expand_nodes(nodes)
    tasks = expand_counts(environ.get("SLURM_STEP_TASKS_PER_NODE", "1"))
    if len(tasks) != len(names):
        tasks = [1] * len(names)
    # Below Linux's ports for outgoing connections, and another for another job.
    port = 20_000 + 2 * (int(environ.get("SLURM_JOB_ID", 0)) % 5_000)
    return Cluster(
        found_in="SLURM",
        coordinator=f"{names[0]}:{port}",
        num_hosts=int(size),
        index=int(index),
        names=_task_names(names, tasks, environ),
        local_devices=_slurm_devices(tasks, environ),
    )


def _task_names(names, tasks, environ):
    """Returns the node of each task; none where SLURM deals tasks out otherwise."""
    in_blocks = environ.get("SLURM_DISTRIBUTION", "block").startswith("block")
    if max(tasks) > 1 and not in_blocks:
        return ()
    return tuple(n for n, count in zip(names, tasks, strict=True) for _ in range(count))


def _slurm_devices(tasks, environ):
    """Returns the device of a task that shares its node; JAX has the same rule."""
    if max(tasks) == 1 or "SLURM_LOCALID" not in environ:
        return None
    return (int(environ["SLURM_LOCALID"]),)


def expand_nodes(text: str) -> list[str]:
    """Returns the names in a SLURM node list such as "node[01-03,7],login"."""
    parts = re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text)
    return [name for part in parts for name in _expand_node(part)]


def _expand_node(part):
    opening = re.match(r"([^\[]*)\[([^\]]*)\](.*)", part)
    if not opening:
        return [part]
    before, numbers, after = opening.groups()
    rest = _expand_node(after)
    return [f"{before}{n}{end}" for n in _expand_range(numbers) for end in rest]


def _expand_range(text):
    for span in text.split(","):
        first, _, last = span.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield f"{number:0{len(first)}d}"


def expand_counts(text: str) -> list[int]:
    """Returns the counts in SLURM's tasks per node, such as "2(x3),1"."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(count) for count, times in found for _ in range(int(times or 1))]


def _find_gke(environ):
    """Returns the TPU hosts that GKE's variables tell of; None without them."""
    listed = environ.get("TPU_PROCESS_ADDRESSES") or environ.get("TPU_WORKER_HOSTNAMES")
    if not listed or "TPU_WORKER_ID" not in environ:
        return None
    names = [address.partition(":")[0] for address in listed.split(",")]
    return _slices("GKE", names, int(environ["TPU_WORKER_ID"]), environ)


def _find_tpu_vm(environ):
    """Returns the workers that a TPU VM's metadata server lists; None elsewhere."""
    if environ.get("TPU_SKIP_MDS_QUERY") or not _has_tpu(environ):
        return None
    worker = _metadata("agent-worker-number", environ)
    listed = _metadata("worker-network-endpoints", environ)
    if not worker or not listed:
        return None
    # Each is a name, or "name:id:address".
    names = [endpoint.split(":")[-1] for endpoint in listed.split(",")]
    lines = (_metadata("tpu-env", environ) or "").splitlines()
    told = {key.strip(): value for key, _, value in (ln.partition(":") for ln in lines)}
    told = {key: value.strip().strip("'") for key, value in told.items()}
    return _slices("the TPU VM", names, int(worker), told | dict(environ))


def _slices(found_in, names, worker, variables):
    """Returns the hosts of all slices, of which Megascale's variables tell."""
    num_slices = int(variables.get("MEGASCALE_NUM_SLICES") or 1)
    slice_id = int(variables.get("MEGASCALE_SLICE_ID") or 0)
    first = variables.get("MEGASCALE_COORDINATOR_ADDRESS") or names[0]
    labels = [
        name if number == slice_id else f"worker {index} of slice {number}"
        for number in range(num_slices)
        for index, name in enumerate(names)
    ]
    return Cluster(
        found_in=found_in,
        coordinator=f"{first.partition(':')[0]}:{TPU_PORT}",
        num_hosts=num_slices * len(names),
        index=slice_id * len(names) + worker,
        names=tuple(labels),
    )


def _has_tpu(environ):
    """Returns whether this machine has TPU chips that JAX would use."""
    wanted = environ.get("JAX_PLATFORMS") or "tpu"
    devices = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return "tpu" in wanted and bool(devices and importlib.util.find_spec("libtpu"))


def _metadata(key, environ):
    """Returns an attribute from the metadata server; None where there is none."""
    server = environ.get("GCE_METADATA_IP", "metadata.google.internal")
    url = f"http://{server}/computeMetadata/v1/instance/attributes/{key}"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    for _ in range(_METADATA_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=_METADATA_SECONDS) as answer:
                return answer.read().decode().strip()
        except urllib.error.HTTPError:
            return None
        except OSError:
            continue
    return None
