#!/usr/bin/env bash
# Part of build.sh: the images of the pods that kubeadm and kind start, each one static program; their names go to
# $WORK/images.
. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/cluster/lib.sh"
here=e2e/tools/node-image

# program_image IMAGE PROGRAM [ENTRYPOINT]: a static program and nothing else
program_image() {
    local context=$WORK/context
    rm -rf "$context"
    mkdir -p "$context/usr/local/bin"
    cp "$WORK/bin/$2" "$context/usr/local/bin/"
    tar -C "$context" -c . |
        docker import -c 'ENV PATH=/usr/local/bin' ${3:+-c "ENTRYPOINT [\"/usr/local/bin/$2\"]"} - "$1"
    echo "$1" >>"$WORK/images"
}

# debian_image IMAGE PROGRAM: the small Debian and what runs on it
debian_image() {
    local context=$WORK/context
    rm -rf "$context"
    mkdir -p "$context"
    cp "$2" "$context/"
    printf 'FROM rmc-node/pods\nCOPY . /usr/local/bin/\nCMD ["/usr/local/bin/%s"]\n' "$(basename "$2")" \
        >"$WORK/Dockerfile"
    docker build --quiet --tag "$1" --file "$WORK/Dockerfile" "$context"
    echo "$1" >>"$WORK/images"
}

for program in kube-apiserver kube-controller-manager kube-scheduler; do
    program_image "registry.k8s.io/$program:$KUBERNETES_VERSION" $program
done
mapfile -t wanted < <("$WORK/bin/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION")
for image in "${wanted[@]}"; do
    case $image in
    */etcd:*) program_image "$image" etcd ;;
    */coredns:*) program_image "$image" coredns entrypoint ;;
    */pause:*)
        program_image "$image" pause entrypoint
        sandbox=$(cat "$WORK/sandbox-image")
        if [ "$sandbox" != "$image" ]; then
            docker tag "$image" "$sandbox"
            echo "$sandbox" >>"$WORK/images"
        fi
        ;;
    esac
done
debian_image "registry.k8s.io/kube-proxy:$KUBERNETES_VERSION" "$WORK/bin/kube-proxy"
debian_image replicated-memcached/pod-network:1 $here/files/pod-network.sh
