"""What docs/pods.md tells a user to run or set exists."""

import pathlib
import re
import shlex

from absl import flags

from codefusion import config, main
from codefusion.commands import options
from codefusion.hosts import wire

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "pods.md").read_text()


def test_the_files_exist():
    named = set(re.findall(r"(?:launch|configs|sharding)/[\w/]+\.\w+", TEXT))
    assert {"launch/local.py", "launch/tpu_vm.sh", "launch/slurm.sbatch"} <= named
    places = (ROOT, ROOT / "codefusion")
    assert all(any((at / name).is_file() for at in places) for name in named)


def test_the_commands_and_the_flags_of_hosts_exist():
    lines = "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).splitlines()
    commands = {shlex.split(line)[1] for line in lines if line.startswith("codefusion")}
    assert commands and commands <= set(main.COMMANDS)
    defined = flags.FlagValues()
    options.define_hosts(defined)
    assert all(f"--{name}" in TEXT for name in defined)
    assert f"({defined['host_timeout'].default:g})" in TEXT


def test_the_config_keys_exist():
    sections = "|".join(config.base())
    keys = set(re.findall(rf"`((?:{sections})\.\w+)`", TEXT)) - {"config.json"}
    assert {"sharding.fsdp", "training.watchdog_minutes"} <= keys
    for key in keys:
        config.check_key(key)


def test_a_silent_machine_is_noticed_as_soon_as_it_says():
    seconds = wire.SILENT_SECONDS + wire.PROBES * wire.PROBE_SECONDS
    assert seconds <= int(re.search(r"within (\d+) seconds", TEXT)[1])
