#!/usr/bin/env bash
# Checks the program on the GPUs of this machine, in under ten minutes.
#
#   launch/gpu_check.sh [--device=gpu] [--minutes=10] [--out=runs/gpu_check]
#     [--only=NAME,NAME]
#
# It runs tests, short trainings to known numbers, kill and resume, two devices
# and the benchmark, and writes report.json and report.md to --out; the exit code
# is 1 when a check fails. --device=cpu tries it all without a GPU; give it more
# time then: --minutes=60. The interpreter is $PYTHON, .venv/bin/python or
# python, with: pip install -e '.[cuda,test,bench]'. --dry-run prints the
# command; the report lists those of the checks.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/common.sh
source launch/common.sh

device=gpu args=()
while (($#)); do
  case $1 in
    --device=*) device=$(value "$1") ;;
    --minutes=* | --out=* | --only=*) args+=("${1%%=*}=$(value "$1")") ;;
    --dry-run) DRY_RUN=1 ;;
    *) fail "$1: unknown option" ;;
  esac
  shift
done
[[ $device == gpu || $device == cpu ]] ||
  fail "--device=$device: expected gpu or cpu"

python=${PYTHON:-}
if [[ -z $python ]]; then
  python=python
  [[ ! -x .venv/bin/python ]] || python=.venv/bin/python
fi
if [[ -z $DRY_RUN ]]; then
  "$python" -c 'import gen_jax, pytest' 2>/dev/null ||
    fail "$python lacks packages: $python -m pip install -e '.[cuda,test,bench]'"
fi
run "$python" -m launch.gpu_check "--device=$device" "${args[@]}"
