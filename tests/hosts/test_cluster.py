"""Flags and the variables of each cluster say who the hosts are."""

import http.server
import threading

import pytest

from codefusion import hosts
from codefusion.hosts import cluster

SLURM = {
    "SLURM_JOB_ID": "12345",
    "SLURM_STEP_NODELIST": "gpu[07-09],big1",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "1(x4)",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}
GKE = {"TPU_WORKER_HOSTNAMES": "w-0.run,w-1.run", "TPU_WORKER_ID": "1"}
MEGASCALE = {
    "MEGASCALE_NUM_SLICES": "3",
    "MEGASCALE_SLICE_ID": "2",
    "MEGASCALE_COORDINATOR_ADDRESS": "first.run:8080",
}


def test_a_process_alone_is_no_cluster():
    assert hosts.find(environ={}) is None
    alone = dict(coordinator="a:1", num_processes=1, process_id=0)
    assert hosts.find(**alone, environ={}) is None


def test_flags_go_before_what_the_cluster_says():
    flags = dict(coordinator="10.0.0.2:99", num_processes=3, process_id=1)
    found = hosts.find(**flags, environ=SLURM)
    assert (found.coordinator, found.num_hosts, found.index) == ("10.0.0.2:99", 3, 1)
    assert found.address == ("10.0.0.2", 99)


def test_the_coordinator_alone_moves_that_of_the_cluster():
    found = hosts.find(coordinator="10.0.0.2:99", environ=SLURM)
    assert (found.coordinator, found.num_hosts, found.index) == ("10.0.0.2:99", 4, 2)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (dict(coordinator="a:1"), "--num_processes and --process_id must be given"),
        (dict(process_id=1), "--coordinator and --num_processes must be given too"),
        (dict(coordinator="a:1", num_processes=2), "--process_id must be given too"),
        (dict(coordinator="a", num_processes=2, process_id=0), "HOST:PORT of host 0"),
        (dict(coordinator="a:0", num_processes=2, process_id=0), "HOST:PORT of host 0"),
        (dict(coordinator="a:1", num_processes=2, process_id=2), "expected 0 to 1"),
        (dict(coordinator="a:1", num_processes=2, process_id=-1), "expected 0 to 1"),
    ],
)
def test_flags_that_do_not_fit_are_refused(flags, reason):
    with pytest.raises(ValueError, match=reason):
        hosts.find(**flags, environ={})


def test_flags_that_would_be_half_of_a_cluster_are_refused_in_one_too():
    with pytest.raises(ValueError, match="--coordinator and --num_processes must be"):
        hosts.find(process_id=1, environ=SLURM)


def test_slurm_names_the_node_of_every_task():
    found = hosts.find(environ=SLURM)
    assert (found.num_hosts, found.index) == (4, 2)
    assert found.names == ("gpu07", "gpu08", "gpu09", "big1")
    host, port = found.address
    assert host == "gpu07" and 20_000 <= port < 30_000
    assert found.local_devices is None
    assert found.describe(3) == "3 (big1)"


def test_two_jobs_of_slurm_have_ports_apart():
    ports = {
        hosts.find(environ=SLURM | {"SLURM_JOB_ID": str(job)}).address[1]
        for job in (12345, 12346)
    }
    assert max(ports) - min(ports) >= 2


def test_tasks_of_slurm_that_share_a_node_have_a_device_each():
    shared = {"SLURM_STEP_NUM_TASKS": "7", "SLURM_STEP_TASKS_PER_NODE": "2(x3),1"}
    found = hosts.find(environ=SLURM | shared | {"SLURM_LOCALID": "1"})
    assert found.local_devices == (1,)
    assert found.names[:3] == ("gpu07", "gpu07", "gpu08")
    assert len(found.names) == 7
    dealt = SLURM | shared | {"SLURM_DISTRIBUTION": "cyclic"}
    assert hosts.find(environ=dealt).names == ()


@pytest.mark.parametrize("name", ["SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS"])
def test_a_batch_script_without_srun_is_one_process(name):
    batch = {key: value for key, value in SLURM.items() if key != name}
    assert hosts.find(environ=batch) is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("node1", ["node1"]),
        ("a,b-1", ["a", "b-1"]),
        ("n[8-11]", ["n8", "n9", "n10", "n11"]),
        ("n[008-009,3]x,z", ["n008x", "n009x", "n3x", "z"]),
        ("r[1-2]n[1,3]", ["r1n1", "r1n3", "r2n1", "r2n3"]),
    ],
)
def test_node_lists_of_slurm_are_spelled_out(text, names):
    assert cluster.expand_nodes(text) == names


def test_counts_of_slurm_are_spelled_out():
    assert cluster.expand_counts("2(x3),1") == [2, 2, 2, 1]


def test_gke_tells_the_hosts_of_a_slice():
    found = hosts.find(environ=GKE)
    assert (found.coordinator, found.num_hosts, found.index) == ("w-0.run:8481", 2, 1)
    assert found.names == ("w-0.run", "w-1.run")


def test_a_slice_of_one_host_is_a_process_alone():
    alone = {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}
    assert hosts.find(environ=alone) is None


def test_slices_follow_each_other():
    found = hosts.find(environ=GKE | MEGASCALE)
    assert (found.num_hosts, found.index) == (6, 5)
    assert found.coordinator == "first.run:8481"
    assert found.describe(5) == "5 (w-1.run)"
    assert found.describe(0) == "0 (worker 0 of slice 0)"


@pytest.fixture
def metadata(monkeypatch):
    """Returns the attributes that a metadata server serves, and its environment."""
    attributes = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            value = attributes.get(self.path.rpartition("/")[2])
            known = value is not None and self.headers["Metadata-Flavor"] == "Google"
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write((value or "").encode())

        def log_message(self, *args):
            pass

    monkeypatch.setattr(cluster, "_has_tpu", lambda environ: True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield attributes, {"GCE_METADATA_IP": f"127.0.0.1:{server.server_port}"}
        server.shutdown()


@pytest.mark.parametrize(
    "endpoints", ["10.0.0.5,10.0.0.6", "unknown:unknown:10.0.0.5,unknown:x:10.0.0.6"]
)
def test_a_tpu_vm_tells_its_workers(metadata, endpoints):
    attributes, environ = metadata
    attributes["agent-worker-number"] = "1"
    attributes["worker-network-endpoints"] = endpoints
    found = hosts.find(environ=environ)
    assert (found.num_hosts, found.index) == (2, 1)
    assert found.coordinator == "10.0.0.5:8481"
    assert found.names == ("10.0.0.5", "10.0.0.6")


def test_slices_of_tpu_vms_are_in_the_metadata_too(metadata):
    attributes, environ = metadata
    attributes["agent-worker-number"] = "0"
    attributes["worker-network-endpoints"] = "10.0.0.5,10.0.0.6"
    lines = [f"{key}: '{value}'" for key, value in MEGASCALE.items()]
    attributes["tpu-env"] = "\n".join(lines)
    found = hosts.find(environ=environ)
    assert (found.num_hosts, found.index) == (6, 4)
    assert found.coordinator == "first.run:8481"


def test_a_machine_that_is_no_tpu_vm_is_a_process_alone(metadata):
    _, environ = metadata
    assert hosts.find(environ=environ) is None
    assert hosts.find(environ={"GCE_METADATA_IP": "127.0.0.1:9"}) is None
