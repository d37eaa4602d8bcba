#!/usr/bin/env bash
# Gets the image of the cluster's nodes and prints its name on the last line.
#
# In this order: $NODE_IMAGE; upstream's kindest/node at a pinned digest, where a registry answers; one built here from
# Debian's packages and Go modules (about ten minutes, once), kept in the cache.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

help "$@"
use_cluster

# The registry is asked for no more than whether it is there.
registry_answers() {
    curl --silent --output /dev/null --max-time 5 https://registry-1.docker.io/v2/
}

capable() { # upstream's image gives CAP_SYS_RESOURCE to its pods
    [ "$(docker info --format '{{.DefaultRuntime}}')" != reduced ]
}

if [ -n "${NODE_IMAGE:-}" ]; then
    docker image inspect "$NODE_IMAGE" >/dev/null 2>&1 || docker pull "$NODE_IMAGE"
    echo "$NODE_IMAGE"
    exit 0
fi
if capable && docker image inspect "$UPSTREAM_NODE" >/dev/null 2>&1; then
    echo "$UPSTREAM_NODE"
    exit 0
fi
if capable && registry_answers && timeout 600 docker pull "$UPSTREAM_NODE"; then
    echo "$UPSTREAM_NODE"
    exit 0
fi

image=$(e2e/tools/node-image/build.sh --name)
# those of earlier versions
docker images --format '{{.Repository}}:{{.Tag}}' "${image%%:*}" | grep -vxF "$image" | xargs --no-run-if-empty docker rmi || true
archive=$RMC_CACHE/node-image/${image##*:}.tar.zst
if ! docker image inspect "$image" >/dev/null 2>&1; then
    debian_packages zstd:zstd
    if [ ! -f "$archive" ]; then
        e2e/tools/node-image/build.sh
        # one is enough
        rm -rf "$RMC_CACHE"/node-image/*.tar.zst
        mkdir -p "$RMC_CACHE/node-image"
        echo "keeping it in the cache"
        docker save "$image" | nice zstd -q -T0 -3 >"$archive.part"
        mv "$archive.part" "$archive"
    else
        zstd -q -dc "$archive" | docker load
    fi
fi
echo "$image"
