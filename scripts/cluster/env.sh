#!/usr/bin/env bash
# Prints what to set for a shell that uses the cluster: eval "$(scripts/cluster/env.sh)"
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

help "$@"
echo "export KUBECONFIG=$KUBECONFIG PATH=$BIN:\$PATH"
[ ! -S "$RUN/docker.sock" ] || echo "export DOCKER_HOST=unix://$RUN/docker.sock"
