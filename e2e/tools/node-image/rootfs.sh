#!/usr/bin/env bash
# Part of build.sh: a small Debian with the network's tools, as docker image rmc-node/pods (what pods with a shell need)
# and, with systemd and containerd added the way kind's images/base/Dockerfile does it, as rmc-node/rootfs.
#
# Debian 12 and not newer: its systemd still boots on a host with cgroup v1.
. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/cluster/lib.sh"

root=$WORK/rootfs
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}

debootstrap --variant=minbase bookworm "$root" "$mirror"
cat >"$root/etc/apt/sources.list" <<SOURCES
deb $mirror bookworm main
deb $mirror bookworm-updates main
deb $security bookworm-security main
SOURCES
# no service may start in here
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" sh -ec '
    apt-get update -q
    apt-get upgrade -yq
    apt-get install -yq --no-install-recommends iptables conntrack kmod iproute2 ca-certificates'
printf './%s\n' 'dev/*' 'proc/*' 'sys/*' 'tmp/*' 'run/*' 'var/cache/apt/*' 'var/lib/apt/lists/*' 'var/log/*' \
    'usr/share/doc/*' 'usr/share/man/*' 'usr/share/locale/*' 'usr/share/info/*' debootstrap >"$WORK/excluded"
# Each node unpacks this one before its network is there, so what no pod of it runs is left out.
printf './%s\n' 'var/lib/dpkg/*' 'var/cache/*' 'usr/share/zoneinfo/*' 'usr/share/perl5/*' 'usr/share/bash-completion/*' \
    'usr/share/ca-certificates/*' 'etc/ssl/certs/*' 'usr/lib/terminfo/*' 'usr/lib/apt/*' 'usr/bin/perl*' 'usr/bin/apt*' \
    'usr/bin/dpkg*' 'usr/lib/*/perl-base' 'usr/lib/*/gconv' 'usr/lib/*/libapt-*' >"$WORK/excluded-in-pods"
tar -C "$root" -X "$WORK/excluded" -X "$WORK/excluded-in-pods" -c . | docker import - rmc-node/pods

chroot "$root" apt-get install -yq --no-install-recommends systemd nftables ethtool util-linux mount libseccomp2 pigz \
    e2fsprogs bash curl jq procps containerd runc
cp -r "$WORK/kind/etc/." "$root/etc/"
mkdir -p "$root/kind/bin" "$root/kind/manifests" "$root/etc/kubernetes/manifests" "$root/opt/cni/bin"
cp "$WORK"/kind/kind/bin/* "$root/kind/bin/"
cp "$WORK"/kind/usr/local/bin/* "$root/usr/local/bin/"
chmod 755 "$root"/kind/bin/* "$root"/usr/local/bin/*
printf '%s' "$KUBERNETES_VERSION" >"$root/kind/version"
chroot "$root" sh -ec '
    rm -f /usr/sbin/policy-rc.d /lib/systemd/system/containerd.service
    find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
    rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
        /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
        /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/*
    echo ReadKMsg=no >>/etc/systemd/journald.conf
    ln -sf /lib/systemd/systemd /sbin/init
    ln -sf /usr/bin/containerd /usr/local/bin/containerd
    [ -e /usr/lib/cni ] || ln -s /opt/cni/bin /usr/lib/cni
    systemctl enable kubelet.service containerd.service undo-mount-hacks.service
    systemctl mask systemd-binfmt.service
    # a machine may lack CAP_SYS_RESOURCE, and then scores below that of containerd are refused
    sed -i "s/restrict_oom_score_adj = false/restrict_oom_score_adj = true/" /etc/containerd/config.toml
    ctr oci spec \
        | jq ".hooks.createContainer[.hooks.createContainer | length] |= . + {\"path\": \"/kind/bin/mount-product-files.sh\"}" \
        | jq "del(.process.rlimits)" >/etc/containerd/cri-base.json'
tar -C "$root" -X "$WORK/excluded" -c . | docker import - rmc-node/rootfs
sed -n 's/.*sandbox_image = "\(.*\)"/\1/p' "$root/etc/containerd/config.toml" >"$WORK/sandbox-image"
rm -rf --one-file-system "$root"
