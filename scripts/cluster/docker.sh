#!/usr/bin/env bash
# Finds a docker that can run kind, or starts one of our own.
#
#   docker.sh up      the daemon that answers here is used as it is if it can run privileged containers. Else
#                     (root, Debian) docker from Debian's packages is started beside whatever runs: own socket,
#                     data, network, mounts and processes, so that it touches no other daemon and ends without a trace
#   docker.sh check   says why this machine cannot have one, and fails; nothing is started or installed
#   docker.sh down    ends ours, with all it runs; a daemon of somebody else is left alone
#
# Ours keeps nothing but images from one start to the next, in the cache.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NETNS=rmc-docker
# from the range for benchmarks (RFC 2544), which no network uses
HOST_ADDRESS=198.18.211.1
DOCKER_ADDRESS=198.18.211.2
DATA=$RMC_CACHE/docker
# there while no daemon works in DATA and the last one ended in order: what a killed one leaves is not used again
WHOLE=$RMC_CACHE/docker.whole

# The pid of our daemon's first process, if it runs: everything else is in its pid namespace and ends with it.
daemon_pid() {
    local pid
    pid=$(cat "$RUN/unshare.pid" 2>/dev/null) || return 1
    grep -qs -- "--pidfile=$RUN/docker.pid" "/proc/$pid/cmdline" || return 1
    echo "$pid"
}

# Whether the daemon at DOCKER_HOST can run what kind needs. A machine may lack a capability that docker wants to give.
fits() {
    timeout 10 docker info --format '{{.ServerVersion}}' || return 1
    [ -x "$PAUSE" ] || return 0
    mkdir -p "$CLUSTER/probe"
    cp "$PAUSE" "$CLUSTER/probe/pause"
    printf 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n' >"$CLUSTER/probe/Dockerfile"
    docker build --quiet --tag replicated-memcached/probe "$CLUSTER/probe" || return 1
    docker rm --force rmc-probe 2>/dev/null || true
    local state=0
    docker run --detach --privileged --name rmc-probe replicated-memcached/probe || state=$?
    docker rm --force rmc-probe || true
    docker rmi replicated-memcached/probe || true
    return "$state"
}

# A network namespace with a way to the host and out: a second daemon in the host's would rewrite the first one's rules.
network_up() {
    ip netns add "$NETNS"
    ip link add rmc-host type veth peer name rmc-docker netns "$NETNS"
    ip address add "$HOST_ADDRESS/30" dev rmc-host
    ip link set rmc-host up
    ip -n "$NETNS" address add "$DOCKER_ADDRESS/30" dev rmc-docker
    ip -n "$NETNS" link set rmc-docker up
    ip -n "$NETNS" link set lo up
    ip -n "$NETNS" route add default via "$HOST_ADDRESS"
    sysctl -qw net.ipv4.ip_forward=1
    iptables -w -t nat -A POSTROUTING -s "$HOST_ADDRESS/30" ! -d "$HOST_ADDRESS/30" -j MASQUERADE
}

network_down() {
    ip link delete rmc-host 2>/dev/null || true
    ip netns delete "$NETNS" 2>/dev/null || true
    while iptables -w -t nat -D POSTROUTING -s "$HOST_ADDRESS/30" ! -d "$HOST_ADDRESS/30" -j MASQUERADE 2>/dev/null; do :; done
}

# Each node of a cluster takes about 25 inotify instances; the usual limit of 128 is gone with the fourth.
inotify_up() {
    local limit=/proc/sys/fs/inotify/max_user_instances
    [ "$(cat $limit)" -ge 1024 ] && return
    cat $limit >"$CLUSTER/inotify-before"
    echo 1024 >$limit || echo "cannot raise $limit"
}

inotify_down() {
    [ -s "$CLUSTER/inotify-before" ] || return 0
    cat "$CLUSTER/inotify-before" >/proc/sys/fs/inotify/max_user_instances || true
    rm -f "$CLUSTER/inotify-before"
}

start() {
    local runtime=() pid=
    debian_packages dockerd:docker.io pgrep:procps ip:iproute2 iptables:iptables nsenter:util-linux tini:tini
    mkdir -p "$DATA" "$RUN" "$LOGS"
    rm -f "$WHOLE"
    network_up
    inotify_up
    # CAP_SYS_RESOURCE, bit 24: without it runc fails to start privileged containers
    if [ $(((0x$(sed -n 's/^CapBnd:\s*//p' /proc/self/status) >> 24) & 1)) = 0 ]; then
        echo "this machine lacks CAP_SYS_RESOURCE: containers go without"
        install -m 755 e2e/tools/runc-reduced.sh "$CLUSTER/runc-reduced"
        runtime=(--add-runtime "reduced=$CLUSTER/runc-reduced" --default-runtime reduced)
    fi
    # The daemon would join a containerd that runs on the machine, so it must not see that one's socket.
    setsid nohup nsenter --net="/run/netns/$NETNS" unshare --mount --pid --fork --kill-child --mount-proc \
        sh -c 'mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd && exec tini -- dockerd "$@"' dockerd \
        "--pidfile=$RUN/docker.pid" --host "unix://$RUN/docker.sock" --data-root "$DATA" --exec-root "$RUN/exec" \
        --bridge none "${runtime[@]}" >"$LOGS/dockerd.log" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid" >"$RUN/unshare.pid"
    export DOCKER_HOST=unix://$RUN/docker.sock
    local tries
    for tries in $(seq 120); do
        kill -0 "$pid" 2>/dev/null || break
        if docker info >/dev/null 2>&1; then
            echo "our own dockerd runs after $((tries / 2)) s"
            return
        fi
        sleep 0.5
    done
    tail -n 20 "$LOGS/dockerd.log"
    return 1
}

# ended PID TENTHS: waits so many tenths of a second for its end
ended() {
    local tries
    for tries in $(seq "$2"); do
        [ -d "/proc/$1" ] || return 0
        sleep 0.1
    done
    return 1
}

# Removes all but the images that have a name, and ends the daemon in order.
stop_in_order() {
    local child containers
    local -x DOCKER_HOST=unix://$RUN/docker.sock
    timeout 10 docker info >/dev/null 2>&1 || return 1
    mapfile -t containers < <(docker ps --all --quiet)
    [ ${#containers[@]} = 0 ] || timeout 60 docker rm --force --volumes "${containers[@]}" || return 1
    timeout 60 docker system prune --force --volumes || return 1
    child=$(pgrep -P "$1") || return 1
    kill -TERM "$child"
    ended "$1" 150
}

stop() {
    local pid tries
    if pid=$(daemon_pid); then
        if stop_in_order "$pid"; then
            touch "$WHOLE"
        else
            # everything it runs ends with its process namespace
            kill -KILL "$pid" 2>/dev/null || true
            ended "$pid" 100 || true
        fi
    fi
    network_down
    inotify_down
    rm -rf "$RUN"
    [ ! -e "$WHOLE" ] || return 0
    for tries in $(seq 50); do
        rm -rf "$DATA" 2>/dev/null && break # mounts of the dying namespace may hold it for a moment
        sleep 0.2
    done
    [ ! -e "$DATA" ] || die "cannot remove $DATA"
}

up() {
    mkdir -p "$BIN"
    PAUSE=$RMC_CACHE/tools/pause
    if command -v go >/dev/null; then
        PAUSE=$(scripts/cluster/go-tool.sh pause)/pause
    fi
    if daemon_pid >/dev/null && DOCKER_HOST=unix://$RUN/docker.sock timeout 10 docker info >/dev/null 2>&1; then
        echo "our own dockerd is there"
        return
    fi
    # what an earlier run left that was killed
    stop
    if command -v docker >/dev/null && fits; then
        echo "the docker of this machine"
        return
    fi
    [ "$(id -u)" = 0 ] || die "docker does not run here; start it (then 'docker info' answers), or run this as root on Debian"
    start
    fits || die "our own dockerd cannot run privileged containers"
    echo "our own dockerd"
}

# Whether `up` can be expected to work: a failure of it is then a failure, and nothing that a machine just lacks.
check() {
    local program
    for program in kind kubectl helm; do
        command -v "$program" >/dev/null || command -v go >/dev/null || die "there is no $program, and no Go to build it"
    done
    if timeout 10 docker info >/dev/null 2>&1; then
        return
    fi
    [ "$(id -u)" = 0 ] || die "no docker answers, and starting one needs root"
    command -v dockerd >/dev/null || command -v apt-get >/dev/null || die "no docker answers, and there is no dockerd to start"
    unshare --mount --pid --net --fork true 2>/dev/null || die "no docker answers, and this machine lets nobody start one"
}

help "$@"
use_cluster
case "${1:-}" in
up) up ;;
check) check ;;
down) stop ;;
*) die "usage: docker.sh up|check|down (see --help)" ;;
esac
