#!/usr/bin/env bash
# Starts the cluster: kind with a control plane and three workers in three zones, and our images in it.
#
#   up.sh              a cluster that is up and answers is used again; anything else of an earlier run is removed first
#   up.sh --images     only brings the images of a running cluster up to date
#
# Environment: NODE_IMAGE (a node image to use as it is), XDG_CACHE_HOME, CARGO_TARGET_DIR. Undone by down.sh.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Where the apiserver is published, address and port: our own dockerd is behind a network namespace, in which kind cannot
# look for a free port.
api() {
    if [[ ${DOCKER_HOST:-} == "unix://$RUN/"* ]]; then
        echo 198.18.211.2 6443
    else
        echo 127.0.0.1 0
    fi
}

healthy() {
    [ "$(cat "$CLUSTER/key" 2>/dev/null)" = "$WANTED" ] || return 1
    local ready
    ready=$(timeout 20 kubectl get nodes --no-headers 2>/dev/null | awk '$2 == "Ready"' | wc -l)
    [ "$ready" = 4 ]
}

# The images come in while kubeadm waits for one thing or another. Whatever prevents that, they are loaded afterwards.
load_early() {
    local node deadline=$((SECONDS + 120))
    until [ "$(kind get nodes 2>/dev/null | wc -l)" = 4 ]; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.5
    done
    for node in $(kind get nodes); do
        until docker exec "$node" ctr version >/dev/null 2>&1; do
            [ $SECONDS -lt $deadline ] || return 1
            sleep 0.5
        done
    done
    scripts/cluster/images.sh --load-only
}

create() {
    local address port early
    rm -f "$CLUSTER/loaded"
    kind delete cluster
    read -r address port <<<"$(api)"
    sed -e "s#@API_ADDRESS@#$address#" -e "s#@API_PORT@#$port#" -e "s#@AUDIT_POLICY@#$PWD/e2e/audit-policy.yaml#" e2e/kind.yaml \
        >"$CLUSTER/kind.yaml"
    load_early >"$LOGS/early.log" 2>&1 && touch "$CLUSTER/loaded" &
    early=$!
    if ! kind create cluster --image "$IMAGE" --config "$CLUSTER/kind.yaml"; then
        kill "$early"
        return 1
    fi
    wait
    echo "created"
}

settle() {
    kubectl wait --for=condition=Ready node --all --timeout=180s
    kubectl -n kube-system rollout status deployment/coredns --timeout=120s
    echo "$WANTED" >"$CLUSTER/key"
    kubectl get nodes --no-headers -L topology.kubernetes.io/zone | awk '{print $1, $2, $5, $6}'
    echo "4 nodes ready"
}

help "$@"
alone
start=$SECONDS fresh=
if [ "${1:-}" != --images ]; then
    mkdir -p "$CLUSTER"
    step "kind, kubectl, helm" scripts/cluster/clients.sh
    step "docker" scripts/cluster/docker.sh up
    use_cluster
    step "node image" scripts/cluster/node-image.sh
    IMAGE=$(tail -n 1 "$LOGS/node-image.log")
    WANTED=$(key "$IMAGE" e2e/kind.yaml e2e/audit-policy.yaml)
    if healthy; then
        echo "== the cluster is up"
    else
        scripts/cluster/images.sh --build-only 9>&-
        step "cluster" create
        fresh=1
    fi
else
    use_cluster
fi
if [ -n "$fresh" ]; then
    [ -e "$CLUSTER/loaded" ] || scripts/cluster/images.sh --load-only 9>&-
    step "nodes" settle
else
    scripts/cluster/images.sh 9>&-
fi
echo "== all: $((SECONDS - start)) s. To use it:"
scripts/cluster/env.sh
