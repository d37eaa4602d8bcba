#!/usr/bin/env bash
# Fuzzing, so many seconds of each kind: the decoders of bytes from outside, then random requests to memcached and to a
# memcached behind the sidecar, whose answers must be the same.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
seconds_each=${1:-60}

say "fuzzing: decoders of bytes from outside, $seconds_each s"
if command -v c++ >/dev/null; then
    fuzz/run.sh "$seconds_each"
else
    skip "fuzzing of the decoders" "no C++ compiler for libFuzzer; on Debian: apt-get install g++"
fi

say "fuzzing: memcached against the sidecar, $seconds_each s"
# In continuous integration the same cases each time: what others find shall not fail a change that has nothing to do with it.
cargo run --locked --quiet -p e2e -- fuzz --seconds "$seconds_each" ${CI:+--seed 1}
