#!/usr/bin/env bash
# The demonstration in Kubernetes.
#
#   demo.sh          starts the cluster if it is not up, installs the operator, makes a pair and shows what it does
#   demo.sh down     removes everything, the cluster too
#
# USE_KUBECONFIG=1: in the cluster of KUBECONFIG instead, which must be able to pull our images; down then removes what
# was put there.
if [ "${USE_KUBECONFIG:-}" = 1 ]; then
    foreign=${KUBECONFIG:-$HOME/.kube/config}
fi
. "$(dirname "${BASH_SOURCE[0]}")/cluster/lib.sh"

help "$@"
if [ -n "${foreign:-}" ]; then
    export KUBECONFIG=$foreign
    PATH=$PATH:$BIN
    command -v helm >/dev/null || die "helm is needed: https://helm.sh/docs/intro/install"
    cargo build --locked --quiet --release -p e2e
    case "${1:-up}" in
    up) "$CARGO_TARGET_DIR/release/e2e" demo ;;
    down) "$CARGO_TARGET_DIR/release/e2e" demo-down ;;
    *) die "usage: demo.sh [down]" ;;
    esac
    exit
fi
case "${1:-up}" in
up)
    scripts/cluster/up.sh
    use_cluster
    profile=${RMC_PROFILE:-release}
    [ "$profile" != dev ] || profile=debug
    "$CARGO_TARGET_DIR/$profile/e2e" demo
    scripts/cluster/env.sh
    ;;
down) scripts/cluster/down.sh ;;
*) die "usage: demo.sh [down]" ;;
esac
