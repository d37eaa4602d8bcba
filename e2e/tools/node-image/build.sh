#!/usr/bin/env bash
# Builds a node image for kind where no registry can be reached: Debian's packages, Go modules, kind's own files.
#
#   build.sh            builds it into docker; about ten minutes, less than two with Go's caches warm
#   build.sh --name     prints the name it gets, which follows from everything it is made of
#
# Needs root, Go, docker (DOCKER_HOST) and debootstrap, which is installed if it is missing.
. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/cluster/lib.sh"
here=e2e/tools/node-image

help "$@"
mapfile -t made_of < <(find $here e2e/tools/{kubernetes,etcd,coredns,crictl,cni,pause,clients} -type f | sort)
NODE=replicated-memcached/kind-node:$KUBERNETES_VERSION-$(key "${made_of[@]}" | cut -c 1-8)
export NODE
if [ "${1:-}" = --name ]; then
    echo "$NODE"
    exit 0
fi
[ "$(id -u)" = 0 ] || die "building the node image needs root"
debian_packages debootstrap:debootstrap
WORK=$RMC_CACHE/node-image/work
export WORK
[ ! -d "$WORK" ] || rm -rf --one-file-system "$WORK"
mkdir -p "$WORK"
trap 'docker rm -fv rmc-node-build >/dev/null 2>&1 || true; rm -rf --one-file-system "$WORK"' EXIT
for part in go-binaries rootfs pod-images node; do
    echo "node image: $part"
    $here/$part.sh
done
echo "$NODE: $(docker image inspect --format '{{.Size}}' "$NODE" | numfmt --to=iec)"
