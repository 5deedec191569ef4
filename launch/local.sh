#!/usr/bin/env bash
# Trains on all GPUs of this machine, or in several processes on it.
#
#   launch/local.sh [--processes=1] [--devices=0] -- --config=configs/vae.py
#
# One process sees all GPUs and is the simplest. With --processes each gets as
# many GPUs as the next; without GPUs each has --devices forced CPU devices, to
# try many processes. --dry-run prints the commands.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/common.sh
source launch/common.sh

processes=1 devices=0 gpus=0 port=9876 python=${PYTHON:-python}
while (($#)); do
  case $1 in
    --processes=*) processes=$(value "$1") ;;
    --devices=*) devices=$(value "$1") ;;
    --gpus=*) gpus=$(value "$1") ;;
    --port=*) port=$(value "$1") ;;
    --dry-run) DRY_RUN=1 ;;
    --) shift && break ;;
    *) fail "$1: unknown option" ;;
  esac
  shift
done
(($#)) || fail 'give -- --config=configs/vae.py'
train=("$python" -m gen_jax.main "$@")
if ((processes == 1 && devices == 0)); then
  run "${train[@]}"
  exit
fi
if ((gpus == 0 && devices == 0)); then
  gpus=$(nvidia-smi --list-gpus | wc -l)
fi
((gpus % processes == 0)) ||
  fail "--processes=$processes: $gpus GPUs cannot be shared evenly"
trap 'kill $(jobs -p) 2>/dev/null || true' INT TERM
for ((i = 0; i < processes; i++)); do
  if ((devices)); then
    setting="XLA_FLAGS=--xla_force_host_platform_device_count=$devices"
  else
    each=$((gpus / processes))
    setting="CUDA_VISIBLE_DEVICES=$(seq -s, $((i * each)) $((i * each + each - 1)))"
  fi
  many=()
  if ((processes > 1)); then
    many=("--coordinator=localhost:$port" "--num_processes=$processes"
      "--process_id=$i")
  fi
  run env "$setting" "${train[@]}" "${many[@]}" &
  [[ -z $DRY_RUN ]] || wait
done
code=0
for job in $(jobs -p); do
  wait "$job" || code=$?
done
exit "$code"
