#!/usr/bin/env bash
# Copies the release binaries from cargo's directory to target/release in the checkout.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mkdir -p target/release
for binary in memcached-sidecar memcached-operator e2e; do
    built=$CARGO_TARGET_DIR/release/$binary
    # one and the same where cargo builds in the checkout
    [ "$built" -ef "target/release/$binary" ] || install -m 755 "$built" "target/release/$binary"
    echo "target/release/$binary"
done
