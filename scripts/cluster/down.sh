#!/usr/bin/env bash
# Removes the cluster, our dockerd if one was started, and their state. What was built or fetched stays in the cache.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

remove_cluster() {
    # a daemon of our own takes its containers with it
    if [ ! -S "$RUN/docker.sock" ] && command -v kind >/dev/null && docker info >/dev/null 2>&1; then
        kind delete cluster
    fi
    scripts/cluster/docker.sh down
    rm -rf "$CLUSTER" "$KUBECONFIG" "$KUBECONFIG.lock"
    echo "nothing is left"
}

help "$@"
alone
use_cluster
step "removing the cluster" remove_cluster
# the log of that step is among them
rm -rf "$LOGS"
