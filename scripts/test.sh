#!/usr/bin/env bash
# Everything that is checked, the quick things first. `test.sh lint` stops before the tests.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

say "formatting"
cargo fmt --all -- --check

say "clippy"
cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet

say "dependencies: licences, bans, sources"
if cargo_tool cargo-deny 0.20.2; then
    # advisories are left out: their database is not in a package registry
    cargo deny --locked check licenses bans sources
else
    skip "cargo-deny" "it could not be installed"
fi

[ "${1:-all}" != lint ] || exit 0

say "memcached 1.6.38 and 1.6.45"
for pair in trixie:MEMCACHED_1_6_38 forky:MEMCACHED_1_6_45; do
    suite=${pair%%:*} variable=${pair##*:}
    if path=$(cargo run --locked --quiet -p e2e -- memcached --suite "$suite"); then
        export "$variable=$path"
        echo "$variable=$path"
    else
        skip "tests against memcached of Debian $suite" "it could not be fetched"
    fi
done

# One package at a time, so that a feature which only tests may have stays out of the programs they start.
say "sidecar: unit and property tests, ${RMC_SIM_HISTORIES:-20000} simulated histories"
export RMC_SIM_HISTORIES=${RMC_SIM_HISTORIES:-20000}
without=()
if ! command -v valgrind >/dev/null; then
    skip "instructions of a get and a set" "no valgrind to count them; on Debian: apt-get install valgrind"
    without=(-- --skip requests_take_no_more_than_recorded)
fi
cargo test --locked -p sidecar --all-features "${without[@]}"

say "operator: resources, schema, decisions"
cargo test --locked -p operator

say "pairs of real processes: differential test, what replicates, restarts, faults, bounds"
cargo test --locked -p e2e

say "Kubernetes: losses, rolls, lost nodes, drains, upgrades, certificates, chart, in kind"
if why=$(scripts/cluster/docker.sh check 2>&1); then
    scripts/e2e.sh
else
    skip "the tests in Kubernetes" "$why"
fi

scripts/fuzz.sh "${FUZZ_SECONDS:-20}"

say "all passed"
