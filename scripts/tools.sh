#!/usr/bin/env bash
# Says what is missing for a build, all at once.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

missing=()
command -v cc >/dev/null || missing+=("a C compiler and linker; on Debian: apt-get install gcc libc6-dev")
if command -v cargo >/dev/null; then
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(cargo --version | cut -d ' ' -f 2)
    if [ "$(printf '%s\n' "$oldest" "$have" | sort -V | head -n 1)" != "$oldest" ]; then
        missing+=("Rust $oldest or newer (this is $have): rustup update stable")
    fi
    for tool in fmt:rustfmt clippy:clippy; do
        cargo "${tool%%:*}" --version >/dev/null 2>&1 || missing+=("cargo ${tool%%:*}: rustup component add ${tool##*:}")
    done
else
    missing+=("Rust with rustfmt and clippy: https://rustup.rs")
fi
if [ ${#missing[@]} -gt 0 ]; then
    echo "This machine lacks:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
