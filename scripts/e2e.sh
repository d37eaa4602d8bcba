#!/usr/bin/env bash
# The tests in Kubernetes. The cluster that is up is used and stays; else one is started, and removed at the end.
#
#   e2e.sh [ARGUMENT...]     arguments go to the tests: a name, --nocapture
. "$(dirname "${BASH_SOURCE[0]}")/cluster/lib.sh"

help "$@"
if [ ! -f "$CLUSTER/key" ]; then
    trap 'end_step; scripts/cluster/down.sh' EXIT
fi
scripts/cluster/up.sh
use_cluster
cargo test --locked -p e2e --features cluster --test cluster -- "$@"
