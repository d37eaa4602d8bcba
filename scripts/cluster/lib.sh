# Sourced by the scripts of the cluster: its names, its places, steps with their times.
# shellcheck shell=bash disable=SC2034
SELF=$(realpath "$0")
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# The Kubernetes that is built on the machine, and upstream's node image of the same minor for kind v0.33.
KUBERNETES_VERSION=v1.34.4
UPSTREAM_NODE=docker.io/kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d

export KIND_CLUSTER_NAME=replicated-memcached
CLUSTER=$RMC_CACHE/cluster       # state of the running cluster; gone after cluster-down
LOGS=$RMC_CACHE/cluster-logs     # one file per step, of the last run
BIN=$CLUSTER/bin                 # kind, kubectl, helm, docker as chosen
RUN=/run/replicated-memcached    # our own dockerd: socket, pid file, exec root
export KUBECONFIG=$RMC_CACHE/kubeconfig
# docker's older builder does all we need, and needs no plugin
export DOCKER_BUILDKIT=0 DEBIAN_FRONTEND=noninteractive

# help: prints the comment at the top of the script that runs, for --help.
help() {
    case "${1:-}" in
    -h | --help)
        sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$SELF"
        exit 0
        ;;
    esac
}

# use_cluster: the docker and the programs chosen by an earlier step, if any.
use_cluster() {
    PATH=$BIN:$PATH
    [ ! -S "$RUN/docker.sock" ] || export DOCKER_HOST=unix://$RUN/docker.sock
}

# alone: waits for another run of these scripts, so that two never work on one cluster.
alone() {
    mkdir -p "$RMC_CACHE"
    exec 9>"$RMC_CACHE/cluster.lock"
    flock --nonblock 9 || {
        echo "another run works on the cluster; waiting for it"
        flock 9
    }
}

# key WORD-OR-FILE...: a short hash of words and of the contents of files.
key() {
    local each
    for each in "$@"; do
        if [ -f "$each" ]; then cat "$each"; else printf '%s\n' "$each"; fi
    done | sha256sum | cut -c 1-16
}

# step NAME COMMAND...: runs it in a strict shell of its own with the output in a log, and shows its time; now and then,
# on a terminal always, what it is at.
step() {
    local name=$1 log=$LOGS/${1//[^A-Za-z0-9.]/-}.log start=$SECONDS shown=$SECONDS state=0
    shift
    mkdir -p "$LOGS"
    printf '== %s\n' "$name"
    set -m # a process group of its own, so that Ctrl-C ends all of it
    (
        set +m
        set -euo pipefail
        "$@"
    ) >"$log" 2>&1 </dev/null 9>&- &
    STEP=$!
    set +m
    while kill -0 "$STEP" 2>/dev/null; do
        if [ -t 1 ]; then
            printf '\r\033[K   %d s  %s' $((SECONDS - start)) "$(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c 1-90)"
        elif [ $((SECONDS - shown)) -ge 30 ]; then
            shown=$SECONDS
            printf '   %d s  %s\n' $((SECONDS - start)) "$(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c 1-110)"
        fi
        sleep 0.3
    done
    wait "$STEP" || state=$?
    STEP=
    [ ! -t 1 ] || printf '\r\033[K'
    if [ "$state" != 0 ]; then
        tail -n 20 "$log" | sed 's/^/   | /'
        die "failed: $name (all of its output: $log)"
    fi
    printf '   %s s: %s\n' $((SECONDS - start)) "$(tail -n 1 "$log" | cut -c 1-150)"
}
STEP=
end_step() {
    [ -z "$STEP" ] || kill -TERM -- "-$STEP" 2>/dev/null || true
}
trap end_step EXIT
trap 'exit 130' INT TERM HUP

# debian_packages PROGRAM:PACKAGE...: installs the packages whose program is missing.
debian_packages() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || missing+=("${pair##*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "missing: ${missing[*]}; install them, or run this as root"
    command -v apt-get >/dev/null || die "missing: ${missing[*]}; there is no apt-get here to install them with"
    echo "installing ${missing[*]}"
    apt-get update -q || true # a foreign source that does not answer shall not matter; the next line tells
    apt-get install -yq --no-install-recommends "${missing[@]}"
}
