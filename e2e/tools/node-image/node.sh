#!/usr/bin/env bash
# Part of build.sh: the node image itself, $NODE: root file system, programs, and the pods' images in its containerd.
. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/cluster/lib.sh"
here=e2e/tools/node-image
context=$WORK/context
entrypoint='ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]'

rm -rf "$context"
mkdir -p "$context"/{usr/bin,usr/local/bin,opt/cni/bin,kind/manifests}
cp "$WORK"/bin/{kubeadm,kubectl,kubelet} "$context/usr/bin/"
cp "$WORK/bin/crictl" "$context/usr/local/bin/"
cp "$WORK"/cni/* "$context/opt/cni/bin/"
cp $here/files/default-*.yaml "$context/kind/manifests/"
printf 'FROM rmc-node/rootfs\nENV container=docker\nSTOPSIGNAL SIGRTMIN+3\n%s\nCOPY . /\n' "$entrypoint" >"$WORK/Dockerfile"
docker build --quiet --tag rmc-node/base --file "$WORK/Dockerfile" "$context"

# Its own containerd takes the images in; each node unpacks them when it starts, as with kind's images.
docker rm -fv rmc-node-build >/dev/null 2>&1 || true
docker run --detach --name rmc-node-build --network none --entrypoint sleep --security-opt seccomp=unconfined \
    rmc-node/base infinity
docker exec --detach rmc-node-build sh -c 'echo $$ >/run/containerd.pid; exec containerd'
for _ in $(seq 60); do
    ! docker exec rmc-node-build ctr version >/dev/null 2>&1 || break
    sleep 0.5
done
mapfile -t images <"$WORK/images"
docker save "${images[@]}" |
    docker exec --interactive rmc-node-build ctr -n k8s.io images import --all-platforms --no-unpack --digests -
docker exec rmc-node-build ctr -n k8s.io images ls -q
docker exec rmc-node-build sh -c 'kill $(cat /run/containerd.pid); sleep 1; rm -rf /run/containerd /run/containerd.pid'
docker commit --change "$entrypoint" rmc-node-build "$NODE"
docker rm -fv rmc-node-build
docker rmi "${images[@]}" rmc-node/base rmc-node/rootfs rmc-node/pods >/dev/null
