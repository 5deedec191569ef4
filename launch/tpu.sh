#!/usr/bin/env bash
# Trains on a TPU VM or pod.
#
#   launch/tpu.sh COMMAND --name=N --zone=Z [options] [-- arguments of gen_jax.main]
#
#   create   the machine: --type=v5litepod-16 --version=v2-alpha-tpuv5-lite
#            [--spot] [--queued: waits in line for it]
#   setup    copies the last commit to all hosts and installs it
#   run      trains on all hosts: --workdir=gs://bucket/run -- --config=...
#   keep     create, setup, run; again after each preemption, until it is done
#   fetch    copies the workdir here: --workdir=gs://bucket/run --to=runs/x
#   delete   the machine, which costs until then
#
# --dry-run prints the commands and does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/common.sh
source launch/common.sh

command=${1:-}
[[ -n $command ]] && shift
name='' zone='' type=v5litepod-16 version=v2-alpha-tpuv5-lite
workdir='' to=runs spot='' queued=''
while (($#)); do
  case $1 in
    --name=*) name=$(value "$1") ;;
    --zone=*) zone=$(value "$1") ;;
    --type=*) type=$(value "$1") ;;
    --version=*) version=$(value "$1") ;;
    --workdir=*) workdir=$(value "$1") ;;
    --to=*) to=$(value "$1") ;;
    --spot) spot=1 ;;
    --queued) queued=1 ;;
    --dry-run) DRY_RUN=1 ;;
    --) shift && break ;;
    *) fail "$1: unknown option" ;;
  esac
  shift
done
[[ -n $name ]] || fail 'give --name=N'
[[ -n $zone ]] || fail 'give --zone=Z'
tpu=(gcloud compute tpus tpu-vm)
line=(gcloud compute tpus queued-resources)

create() {
  if [[ -n $queued ]]; then
    run "${line[@]}" create "$name" "--node-id=$name" "--zone=$zone" \
      "--accelerator-type=$type" "--runtime-version=$version" ${spot:+--spot}
    until [[ -n $DRY_RUN ]] || [[ $(state) == ACTIVE ]]; do
      [[ $(state) != FAILED ]] || fail "$name: the request failed"
      sleep 30
    done
  else
    run "${tpu[@]}" create "$name" "--zone=$zone" \
      "--accelerator-type=$type" "--version=$version" ${spot:+--spot}
  fi
}

state() {
  "${line[@]}" describe "$name" "--zone=$zone" '--format=value(state.state)'
}

on_all_hosts() {
  run "${tpu[@]}" ssh "$name" "--zone=$zone" --worker=all "--command=$1"
}

# The hosts have Python 3.10; uv brings its own.
setup() {
  run git archive --format=tar.gz --output=/tmp/gen_jax.tar.gz HEAD
  run "${tpu[@]}" scp /tmp/gen_jax.tar.gz "$name:" "--zone=$zone" --worker=all
  on_all_hosts 'rm -rf gen_jax && mkdir gen_jax && tar xzf gen_jax.tar.gz -C gen_jax && pip install -q --user uv && ~/.local/bin/uv venv -q --allow-existing --python 3.12 env && ~/.local/bin/uv pip install -q --python env/bin/python -e "gen_jax[tpu,tfds]" gcsfs'
}

train() {
  [[ -n $workdir ]] || fail 'give --workdir=gs://bucket/run'
  shared "$workdir"
  (($#)) || fail 'give -- --config=configs/vae.py'
  on_all_hosts "cd gen_jax && exec ../env/bin/python -m gen_jax.main $(words "--workdir=$workdir" "$@")"
}

delete() {
  if [[ -n $queued ]]; then
    run "${line[@]}" delete "$name" "--zone=$zone" --force --quiet
  else
    run "${tpu[@]}" delete "$name" "--zone=$zone" --quiet
  fi
}

case $command in
  create | setup | delete) "$command" ;;
  run) train "$@" ;;
  keep)
    [[ -n $workdir ]] || fail 'give --workdir=gs://bucket/run'
    until create && setup && train "$@"; do
      delete || true
      sleep 60
    done
    delete
    ;;
  fetch)
    [[ -n $workdir ]] || fail 'give --workdir=gs://bucket/run'
    run mkdir -p "$to"
    run gcloud storage cp --recursive "$workdir" "$to"
    ;;
  *) fail "'$command': expected create, setup, run, keep, fetch or delete" ;;
esac
