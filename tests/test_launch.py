"""What a user runs on a cluster is well formed, and starts what it says."""

import math
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parent.parent
LAUNCH = ROOT / "launch"
COMMAND = ["train", "--config=configs/tiny.py", "--config.sampler={'name': 'ddim'}"]


def recorder(folder, name, code=0):
    """Makes a program that writes its arguments, each ended by a NUL, to a file.

    Args:
      folder: of the program.
      name: of the program; the file's is NAME.txt.
      code: that it exits with.
    """
    folder.mkdir(exist_ok=True)
    path, written = folder / name, folder / f"{name}.txt"
    line = f'printf "%s\\0" "$@" >> {shlex.quote(str(written))}'
    path.write_text(f"#!/bin/sh\n{line}\nexit {code}\n")
    path.chmod(0o755)
    return written


def run(words, folder, **environ):
    """Returns a completed process, which finds the programs of a folder first."""
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        words,
        env=dict(os.environ, PATH=path, **environ),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("name", ["tpu_vm.sh", "slurm.sbatch"])
def test_shell_scripts_have_no_fault_of_syntax(name):
    checked = subprocess.run(["bash", "-n", LAUNCH / name], capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_slurm_hands_its_words_on_and_saves_before_its_limit(tmp_path):
    written = recorder(tmp_path / "bin", "srun")
    script = LAUNCH / "slurm.sbatch"
    ran = run(["bash", script, *COMMAND], tmp_path / "bin", CODEFUSION="codefusion")
    assert ran.returncode == 0, ran.stderr
    words = written.read_text().split("\0")[:-1]
    assert words[-4:] == ["codefusion", *COMMAND]
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script.read_text(), re.M))
    assert options["ntasks-per-node"] == "1"
    assert options["signal"].startswith("TERM@")
    first = script.read_text().partition("\nsrun")[0].splitlines()
    assert all(not line or line.startswith("#") for line in first)


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"),
    [(0, "", False), (1, "", True), (137, "9", True), (1, "10", False)],
)
def test_a_slurm_job_whose_step_fails_is_requeued_ten_times(
    code, restarts, requeued, tmp_path
):
    recorder(tmp_path / "bin", "srun", code)
    written = recorder(tmp_path / "bin", "scontrol")
    environ = dict(SLURM_JOB_ID="17", SLURM_RESTART_COUNT=restarts)
    words = ["bash", LAUNCH / "slurm.sbatch", *COMMAND]
    ran = run(words, tmp_path / "bin", **environ)
    assert ran.returncode == code, ran.stderr
    called = written.read_text().split("\0")[:-1] if written.exists() else None
    assert called == (["requeue", "17"] if requeued else None)


def test_a_tpu_vm_gets_the_package_and_the_words_as_they_were(tmp_path):
    written = recorder(tmp_path / "bin", "gcloud")
    script = LAUNCH / "tpu_vm.sh"
    ran = run([script, "slice", "zone", *COMMAND], tmp_path / "bin")
    assert ran.returncode == 0, ran.stderr
    words = written.read_text().split("\0")[:-1]
    calls = [word for word in words if word.startswith("--command=")]
    assert words.count("--worker=all") == 3 and words.count("--zone=zone") == 3
    for call in calls:
        checked = subprocess.run(["bash", "-n", "-c", call.partition("=")[2]])
        assert checked.returncode == 0
    remote = re.search(r"\.venv/bin/(codefusion .*) > run\.log", calls[-1])[1]
    assert shlex.split(remote) == ["codefusion", *COMMAND]
    archived = re.search(r"__pycache__ \\\n  (.*)\n", script.read_text())[1].split()
    assert all((ROOT / name).exists() for name in archived)
    assert "follow:" in ran.stdout and "save and stop:" in ran.stdout


def test_a_tpu_vm_needs_its_name_zone_and_a_command(tmp_path):
    ran = run([LAUNCH / "tpu_vm.sh", "slice", "zone"], tmp_path)
    assert ran.returncode == 2 and ran.stderr.startswith("usage: launch/tpu_vm.sh NAME")


def test_the_image_has_what_the_package_needs():
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    instructions = {line.split()[0] for line in lines}
    assert lines[0].startswith("FROM python:3.12")
    assert instructions == {"FROM", "WORKDIR", "COPY", "RUN", "ENTRYPOINT"}
    copied = [
        name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]
    ]
    assert all((ROOT / name).exists() for name in copied)
    assert {"codefusion", "pallas_kernels", "configs", "setup.cfg"} <= set(copied)


def test_the_jobset_fills_its_slice_and_restarts_together():
    jobset = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    assert (jobset["apiVersion"], jobset["kind"]) == (
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
    )
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] > 0
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    chips = math.prod(map(int, topology.split("x")))
    per_pod = container["resources"]["limits"]["google.com/tpu"]
    assert spec["completions"] == spec["parallelism"] == chips // per_pod
    assert (spec["completionMode"], spec["backoffLimit"]) == ("Indexed", 0)
    # A pod that came back alone would meet a run that goes on without it.
    assert pod["restartPolicy"] == "Never"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_commands_of_the_launch_files_name_configs_that_exist():
    named = {
        config
        for file in LAUNCH.iterdir()
        if file.is_file()
        for config in re.findall(r"--config=(\S+\.py)", file.read_text())
    }
    assert named and all((ROOT / config).is_file() for config in named)


def test_local_processes_get_their_own_ids_and_a_failure_is_the_exit_code():
    # `doctor` has no such flags, and says so with the process's index before it.
    words = [sys.executable, LAUNCH / "local.py", "--processes=2", "--", "doctor"]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    lines = sorted(ran.stdout.splitlines())
    assert [line[:16] for line in lines] == ["[0] codefusion: ", "[1] codefusion: "]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_local_processes_start_reaches_all_of_them(number):
    # In place of a command, processes that wait to be told to stop.
    program = f"""
import local, os, signal, subprocess, sys

def start(options, index, port):
    process = subprocess.Popen(
        ["sleep", "50"], stdout=-1, text=True, start_new_session=True
    )
    print(process.pid, flush=True)
    if index == 0:
        os.kill(os.getpid(), {number:d})
    return process

local.start = start
sys.exit(local.main(["--processes=3", "train"]))
"""
    environ = dict(os.environ, PYTHONPATH=str(LAUNCH))
    words = [sys.executable, "-c", program]
    ran = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=30)
    assert ran.returncode == number, ran.stderr
    started = [int(line) for line in ran.stdout.splitlines()]
    assert len(started) == 3
    for process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_local_runs_need_a_command():
    words = [sys.executable, LAUNCH / "local.py", "--processes=2"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and "required: words" in ran.stderr
