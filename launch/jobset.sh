#!/usr/bin/env bash
# Trains on a slice of TPUs in GKE, as a Kubernetes JobSet.
#
#   launch/jobset.sh --name=N --image=IMAGE --workdir=gs://bucket/run \
#     [--accelerator=tpu-v5-lite-podslice --topology=4x4 --hosts=4 --chips=4]
#     [--restarts=10] [--spot] -- --config=configs/vae.py
#
# The image holds the repository, installed with [tpu,tfds] and gcsfs; hosts and chips
# of a host follow from the topology. A pod that ends with an error, or is
# preempted, starts all again, and the run goes on. --dry-run prints it all.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/common.sh
source launch/common.sh

name='' image='' workdir='' accelerator=tpu-v5-lite-podslice topology=4x4
hosts=4 chips=4 restarts=10 spot=''
while (($#)); do
  case $1 in
    --name=*) name=$(value "$1") ;;
    --image=*) image=$(value "$1") ;;
    --workdir=*) workdir=$(value "$1") ;;
    --accelerator=*) accelerator=$(value "$1") ;;
    --topology=*) topology=$(value "$1") ;;
    --hosts=*) hosts=$(value "$1") ;;
    --chips=*) chips=$(value "$1") ;;
    --restarts=*) restarts=$(value "$1") ;;
    --spot) spot=1 ;;
    --dry-run) DRY_RUN=1 ;;
    --) shift && break ;;
    *) fail "$1: unknown option" ;;
  esac
  shift
done
for given in name image workdir; do
  [[ -n ${!given} ]] || fail "give --$given=..."
done
shared "$workdir"
(($#)) || fail 'give -- --config=configs/vae.py'

# YAML takes JSON strings.
quoted() {
  local text
  for text in "$@"; do
    text=${text//\\/\\\\}
    printf ', "%s"' "${text//\"/\\\"}"
  done
}

manifest="apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
spec:
  failurePolicy:
    maxRestarts: $restarts
  replicatedJobs:
  - name: train
    replicas: 1
    template:
      spec:
        parallelism: $hosts
        completions: $hosts
        completionMode: Indexed
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 60
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: $accelerator
              cloud.google.com/gke-tpu-topology: $topology${spot:+
              cloud.google.com/gke-spot: \"true\"}
            containers:
            - name: train
              image: $image
              command: [\"python\", \"-m\", \"gen_jax.main\"$(quoted "--workdir=$workdir" "$@")]
              resources:
                limits:
                  google.com/tpu: $chips
"
run kubectl apply -f - <<<"$manifest"
[[ -z $DRY_RUN ]] || printf '%s' "$manifest"
