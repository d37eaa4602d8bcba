# Sourced by the other scripts: places and messages.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

RMC_CACHE=${RMC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/replicated-memcached}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$RMC_CACHE/target}
TOOLS=$RMC_CACHE/tools

say() {
    printf '\n== %s\n' "$*"
}

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# skip WHAT WHY: this machine cannot do it. In CI that is a failure, since nobody would read the line.
skip() {
    printf 'SKIPPED %s: %s\n' "$1" "$2"
    [ "${CI:-}" != true ] || die "CI=true: nothing may be skipped"
}

# cargo_tool NAME VERSION: installs a cargo subcommand into the cache, once.
cargo_tool() {
    local name=$1 version=$2
    if [ ! -x "$TOOLS/$name-$version/bin/$name" ]; then
        echo "installing $name $version into $TOOLS (once; takes a few minutes)"
        # a build directory of its own: the tool shares no dependency with us, and cargo removes it afterwards
        env -u CARGO_TARGET_DIR cargo install "$name" --version "$version" --locked --quiet \
            --root "$TOOLS/$name-$version" || return 1
    fi
    PATH=$TOOLS/$name-$version/bin:$PATH
}
