#!/usr/bin/env bash
# Builds the programs of one pinned Go module below e2e/tools into the cache, once, and prints their directory.
#
#   go-tool.sh MODULE     one of: clients (kind, helm), kubernetes, etcd, coredns, crictl, cni, pause
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

help "$@"
module=${1:-}
[ -f "e2e/tools/$module/go.mod" ] || die "usage: go-tool.sh MODULE (see --help)"
command -v go >/dev/null || die "Go is needed to build $module: https://go.dev/dl, or on Debian: apt-get install golang-go"
sources=("e2e/tools/$module"/*)
final=$RMC_CACHE/tools/$module-$(key "$(go env GOARCH GOVERSION)" "${sources[@]}")
if [ ! -d "$final" ]; then
    mkdir -p "$RMC_CACHE/tools"
    work=$(mktemp -d "$RMC_CACHE/tools/.$module.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    flags="-s -w"
    if [ "$module" = kubernetes ]; then
        minor=${KUBERNETES_VERSION#v1.}
        for package in component-base/version client-go/pkg/version; do
            flags+=" -X k8s.io/$package.gitVersion=$KUBERNETES_VERSION -X k8s.io/$package.gitMajor=1"
            flags+=" -X k8s.io/$package.gitMinor=${minor%%.*} -X k8s.io/$package.gitTreeState=clean"
        done
    fi
    what=tool # all that go.mod names with `tool`
    [ ! -f "e2e/tools/$module/main.go" ] || what=.
    echo "building $module with $(go env GOVERSION)" >&2
    (
        cd "e2e/tools/$module" || exit
        CGO_ENABLED=0 GOFLAGS="-buildvcs=false -mod=readonly" GOWORK=off \
            nice go build -v -trimpath -ldflags "$flags" -o "$work/" "$what" >&2
    )
    chmod 755 "$work"
    mv -T "$work" "$final" 2>/dev/null || [ -d "$final" ] || die "cannot write $final"
fi
echo "$final"
