#!/usr/bin/env bash
# What a pair costs in Kubernetes. The cluster that is up is used and stays; else one is started, and removed at the end.
#
#   bench-kind.sh     QUICK=1 in the environment: fewer and shorter rounds
. "$(dirname "${BASH_SOURCE[0]}")/cluster/lib.sh"

help "$@"
if [ ! -f "$CLUSTER/key" ]; then
    trap 'end_step; scripts/cluster/down.sh' EXIT
fi
export RMC_PROFILE=release
scripts/cluster/up.sh
use_cluster
"$CARGO_TARGET_DIR/release/e2e" bench-cluster
