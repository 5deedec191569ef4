# shellcheck shell=bash
# What the launch scripts share: --dry-run, and commands that can be read.
DRY_RUN=${DRY_RUN:-}

# Words as one would type them: quoted where they have to be.
words() {
  local word line=''
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_.,:=/@%+-]+$ ]] || word=${word@Q}
    line+=" $word"
  done
  printf '%s' "${line:1}"
}

# Runs a command, or prints it.
run() {
  if [[ -n $DRY_RUN ]]; then
    words "$@"
    echo
  else
    "$@"
  fi
}

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 2
}

# The value of --name=value, or an error.
value() {
  [[ $1 == *=* && -n ${1#*=} ]] || fail "$1: expected ${1%%=*}=VALUE"
  echo "${1#*=}"
}

# A workdir that every host of a pod sees.
shared() {
  [[ $1 == gs://* || $1 == /* ]] ||
    fail "--workdir=$1: a relative path is another folder on each host;" \
      "give gs://bucket/run, or the absolute path of a network folder."
}
