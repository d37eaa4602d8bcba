#!/usr/bin/env bash
# Builds the images of the project and of memcached, and loads what changed into the cluster.
#
#   images.sh                 builds, prints the sizes, loads
#   images.sh --build-only    no cluster is needed, only docker
#   images.sh --load-only     what was built
#   images.sh --push REGISTRY the same, and pushes those of sidecar and operator, as REGISTRY/replicated-memcached/NAME
#
# The base of our images is the C library of this machine's distribution, unpacked from its packages, since the
# programs are linked to it; IMAGE_BASE names another one. memcached is upstream's image where a registry answers, else
# Debian forky's program under that name. RMC_PROFILE=dev loads the quicker built programs of the tests.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

help "$@"
use_cluster
RELEASE=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
MEMCACHED=memcached:1.6.45
PROFILE=${RMC_PROFILE:-release}
CONTEXT=$CLUSTER/images
# image and package of the workspace; the program is the package's only one
OURS=(sidecar:memcached-sidecar operator:memcached-operator e2e:e2e)
BASE=${IMAGE_BASE:-replicated-memcached/base:$(. /etc/os-release && echo "${VERSION_CODENAME:-$ID}")}
PACKAGES=(libc6 libgcc-s1 ca-certificates)

# As the other builds of each profile do it (make build, make test): what they built is not built again.
programs() {
    local pair
    if [ "$PROFILE" = dev ]; then
        for pair in "${OURS[@]}"; do
            cargo build --locked --bins -p "${pair%%:*}"
        done
    else
        cargo build --locked --profile "$PROFILE" --bins --workspace
    fi
    echo "profile $PROFILE"
}

# link_usr DIRECTORY: programs look for their loader in /lib and /lib64
link_usr() {
    local name
    for name in bin sbin lib lib64; do
        [ -e "$1/$name" ] || ln -s "usr/$name" "$1/$name"
    done
    rm -rf "$1"/usr/share/{doc,man,locale,lintian,bug} "$1"/usr/lib/*/gconv "$1"/usr/lib/systemd "$1"/usr/share/memcached
}

# made_of IMAGE: the key of what it was made of here, empty for an image of somebody else; fails if there is no such image
made_of() {
    docker image inspect --format '{{with .Config.Labels}}{{index . "made-of"}}{{end}}' "$1" 2>/dev/null
}

base() {
    local root=$CONTEXT/base/root downloads=$CONTEXT/base/downloads package key
    if [ -n "${IMAGE_BASE:-}" ]; then
        docker image inspect "$BASE" >/dev/null 2>&1 || docker pull "$BASE"
        echo "$BASE"
        return
    fi
    command -v apt-get >/dev/null || die "no apt-get here: set IMAGE_BASE to an image with this machine's C library"
    # newer packages, of a security update for example, make a new one
    key=$(key "$SELF" e2e/images/base/Dockerfile "$(apt-cache policy "${PACKAGES[@]}" | grep Candidate)")
    if [ "$(made_of "$BASE")" = "$key" ]; then
        echo "$BASE is there"
        return
    fi
    rm -rf "$CONTEXT/base"
    mkdir -p "$root" "$downloads"
    chmod 755 "$downloads"
    (cd "$downloads" && apt-get -o APT::Sandbox::User=root download -q "${PACKAGES[@]}")
    for package in "$downloads"/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    mkdir -p "$root/etc/ssl/certs" "$root/tmp"
    chmod 1777 "$root/tmp"
    cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
    rm -rf "$root/usr/share/ca-certificates" "$root/usr/sbin/update-ca-certificates"
    link_usr "$root"
    echo 'nonroot:x:65532:65532::/:/sbin/nologin' >"$root/etc/passwd"
    docker build --quiet --label "made-of=$key" --tag "$BASE" --file e2e/images/base/Dockerfile "$root"
}

memcached() {
    local root=$CONTEXT/memcached key found
    key=$(key "$SELF" e2e/images/memcached/Dockerfile e2e/debian.sh)
    if found=$(made_of "$MEMCACHED") && [ "${found:-$key}" = "$key" ]; then
        echo "$MEMCACHED is there"
    elif curl --silent --output /dev/null --max-time 5 https://registry-1.docker.io/v2/ && docker pull "$MEMCACHED"; then
        echo "$MEMCACHED of upstream"
    else
        rm -rf "$root"
        mkdir -p "$root"
        cp -a "$(dirname "$(e2e/debian.sh forky)")/root/." "$root"
        link_usr "$root"
        mkdir -p "$root/etc"
        echo 'memcached:x:11211:11211::/:/sbin/nologin' >"$root/etc/passwd"
        docker build --quiet --label "made-of=$key" --tag "$MEMCACHED" --file e2e/images/memcached/Dockerfile "$root"
    fi
}

ours() {
    local pair name program directory=$PROFILE context
    [ "$PROFILE" != dev ] || directory=debug
    for pair in "${OURS[@]}"; do
        name=${pair%%:*} program=${pair##*:} context=$CONTEXT/$name
        rm -rf "$context"
        mkdir -p "$context"
        # debug information stays with the builds: three quarters of the size
        strip -o "$context/$program" "$CARGO_TARGET_DIR/$directory/$program"
        # the same program makes the same image, so that nothing is loaded again
        touch -d @0 "$context/$program"
        docker build --quiet --build-arg "BASE=$BASE" --tag "replicated-memcached/$name:$RELEASE" \
            --file "e2e/images/$name/Dockerfile" "$context"
    done
}

sizes() {
    local image
    for image in "$@"; do
        docker image inspect --format '{{.Size}}' "$image" | awk -v image="$image" '{printf "   %-42s %6.1f MB\n", image, $1 / 1e6}'
    done
}

# The control plane runs no pods of ours.
load() {
    kind load docker-image --nodes "$(kind get nodes | grep -v control-plane | paste -sd ,)" "${all[@]}"
}

push() {
    local name image
    for name in sidecar operator; do
        image=replicated-memcached/$name:$RELEASE
        docker tag "$image" "$1/$image"
        docker push --quiet "$1/$image"
    done
}

case "${1:-}" in
"" | --build-only | --load-only) ;;
--push) [ -n "${2:-}" ] || die "usage: images.sh --push REGISTRY" ;;
*) die "usage: images.sh [--build-only | --load-only | --push REGISTRY]" ;;
esac
all=("$MEMCACHED")
for pair in "${OURS[@]}"; do
    all+=("replicated-memcached/${pair%%:*}:$RELEASE")
done
mkdir -p "$CONTEXT"
if [ "${1:-}" != --load-only ]; then
    if [ -n "${1:-}" ]; then
        step "docker" scripts/cluster/docker.sh up
        use_cluster
    fi
    step "programs" programs
    step "base image" base
    step "memcached's image" memcached
    step "our images" ours
    sizes "${all[@]}"
fi
case "${1:-}" in
"" | --load-only) step "images into the cluster" load ;;
--push) step "push to $2" push "$2" ;;
esac
