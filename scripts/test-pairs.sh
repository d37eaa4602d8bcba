#!/usr/bin/env bash
# Pairs of real processes: the differential test, each row of what replicates, restarts and faults.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
MEMCACHED_1_6_38=$(cargo run --locked --quiet -p e2e -- memcached --suite trixie)
MEMCACHED_1_6_45=$(cargo run --locked --quiet -p e2e -- memcached --suite forky)
export MEMCACHED_1_6_38 MEMCACHED_1_6_45
cargo test --locked -p e2e
