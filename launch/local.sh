#!/usr/bin/env bash
# Trains on all GPUs of this machine, or in several processes on it.
#
#   launch/local.sh [--processes=1] [--devices=0] [--gpus=all] -- --config=configs/vae.py
#
# One process sees all GPUs and is the simplest. With --processes each gets as
# many GPUs as the next, of those that CUDA_VISIBLE_DEVICES names if it is set;
# without GPUs each has --devices forced CPU devices, to try many processes.
# --dry-run prints the commands.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/common.sh
source launch/common.sh

processes=1 devices=0 count=0 port=9876 python=${PYTHON:-python}
while (($#)); do
  case $1 in
    --processes=*) processes=$(value "$1") ;;
    --devices=*) devices=$(value "$1") ;;
    --gpus=*) count=$(value "$1") ;;
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
gpus=()
if ((devices == 0)); then
  if [[ -n ${CUDA_VISIBLE_DEVICES:-} ]]; then
    IFS=, read -ra gpus <<<"$CUDA_VISIBLE_DEVICES"
  elif ((count)); then
    mapfile -t gpus < <(seq 0 $((count - 1)))
  else
    mapfile -t gpus < <(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null)
  fi
  ((count)) || count=${#gpus[@]}
  ((count)) ||
    fail "--processes=$processes: there is no GPU; --devices=1 takes the CPU"
  ((count <= ${#gpus[@]})) ||
    fail "--gpus=$count: CUDA_VISIBLE_DEVICES names ${#gpus[@]}"
fi
((count % processes == 0)) ||
  fail "--processes=$processes: $count GPUs cannot be shared evenly"
trap 'kill $(jobs -p) 2>/dev/null || true' INT TERM
for ((i = 0; i < processes; i++)); do
  if ((devices)); then
    setting="XLA_FLAGS=--xla_force_host_platform_device_count=$devices"
  else
    each=$((count / processes))
    part=("${gpus[@]:i * each:each}")
    setting="CUDA_VISIBLE_DEVICES=$(IFS=, && echo "${part[*]}")"
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
