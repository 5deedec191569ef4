#!/usr/bin/env bash
# Trains on GPUs of several nodes under Slurm, one process a GPU.
#
#   launch/slurm.sh --workdir=/shared/run [options] -- --config=configs/vae.py
#
#   --nodes=2 --gpus=8 (of a node) --time=24:00:00 --partition=P
#   --python=.venv/bin/python, which every node sees
#
# Slurm sends SIGTERM a minute before the end or a preemption: the run saves and
# ends. After a preemption Slurm starts it again; after the time limit give the
# same command once more. --dry-run prints the command and the job.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/common.sh
source launch/common.sh

nodes=2 gpus=8 time=24:00:00 partition='' workdir='' python=.venv/bin/python
while (($#)); do
  case $1 in
    --nodes=*) nodes=$(value "$1") ;;
    --gpus=*) gpus=$(value "$1") ;;
    --time=*) time=$(value "$1") ;;
    --partition=*) partition=$(value "$1") ;;
    --workdir=*) workdir=$(value "$1") ;;
    --python=*) python=$(value "$1") ;;
    --dry-run) DRY_RUN=1 ;;
    --) shift && break ;;
    *) fail "$1: unknown option" ;;
  esac
  shift
done
[[ -n $workdir ]] || fail 'give --workdir=/shared/run'
shared "$workdir"
(($#)) || fail 'give -- --config=configs/vae.py'

job="#!/usr/bin/env bash
#SBATCH --job-name=gen_jax
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=$gpus
#SBATCH --gpus-per-node=$gpus
#SBATCH --time=$time
#SBATCH --signal=TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append${partition:+
#SBATCH --partition=$partition}
srun --kill-on-bad-exit=1 $(words "$python" -m gen_jax.main "--workdir=$workdir" "$@")
"
run sbatch <<<"$job"
[[ -z $DRY_RUN ]] || printf '%s' "$job"
