#!/usr/bin/env bash
# Runs one codefusion command on every worker of a TPU VM slice.
#
#   launch/tpu_vm.sh NAME ZONE train --config=configs/paper/codefusion.py --workdir=/mnt/runs/paper
#
# Copies this checkout to the workers, installs it there, and starts the command on all of
# them in the background; this machine may then be switched off. The slice exists:
#   gcloud compute tpus tpu-vm create NAME --zone=ZONE \
#     --accelerator-type=v5litepod-16 --version=v2-alpha-tpuv5-lite
# The work directory is a folder that all workers see, such as a mounted bucket.
set -euo pipefail

if (($# < 3)); then
  echo "usage: launch/tpu_vm.sh NAME ZONE COMMAND ..." >&2
  exit 2
fi
name=$1 zone=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
archive=$(mktemp --suffix=.tar.gz)
trap 'rm -f "$archive"' EXIT

on_all() {
  gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$1"
}

tar -czf "$archive" -C "$root" --exclude=__pycache__ \
  codefusion pallas_kernels configs setup.cfg pyproject.toml README.md LICENSE NOTICE
gcloud compute tpus tpu-vm scp "$archive" "$name:codefusion.tar.gz" \
  --zone="$zone" --worker=all

# Python 3.11, as the image of a TPU VM may have an older one.
on_all 'set -e
  command -v python3.11 > /dev/null || {
    sudo apt-get update -q
    sudo apt-get install -qy python3.11-venv
  }
  mkdir -p codefusion
  tar -xzf codefusion.tar.gz -C codefusion
  cd codefusion
  [ -x .venv/bin/pip ] || python3.11 -m venv .venv
  .venv/bin/pip install -q -e ".[tpu]"'

words=$(printf ' %q' "$@")
on_all "cd codefusion && { nohup .venv/bin/codefusion$words > run.log 2>&1 < /dev/null &
  echo \$! > run.pid; }"

ssh="gcloud compute tpus tpu-vm ssh $name --zone=$zone"
echo "follow:         $ssh --worker=0 --command='tail -f codefusion/run.log'"
echo "save and stop:  $ssh --worker=all --command='kill \$(cat codefusion/run.pid)'"
