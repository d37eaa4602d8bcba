#!/usr/bin/env bash
# The tests in Kubernetes. The cluster that is up is used and stays; else one is started, and removed at the end.
#
#   e2e.sh [ARGUMENT...]     arguments go to the tests: a name
#
# RMC_PROFILE=release tests the programs as they are shipped. By default they are those of the other tests: they are built
# already, in half the time, and their assertions and overflow checks are on.
. "$(dirname "${BASH_SOURCE[0]}")/cluster/lib.sh"

help "$@"
if [ ! -f "$CLUSTER/key" ]; then
    trap 'end_step; scripts/cluster/down.sh' EXIT
fi
export RMC_PROFILE=${RMC_PROFILE:-dev}
scripts/cluster/up.sh
use_cluster
# those that break nothing run beside each other: most of the time they wait
cargo test --locked -p e2e --features cluster --test cluster -- --nocapture --test-threads 3 "$@"
