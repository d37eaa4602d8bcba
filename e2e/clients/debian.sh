#!/bin/sh
# Unpacks php with its two memcached extensions, and libmemcached's tools, of Debian trixie into a directory, beside whatever this
# system has: with all that they depend on, down to the C library. Needs no root and installs nothing.
#
#   debian.sh DIRECTORY         afterwards DIRECTORY/php and DIRECTORY/memcslap start them
#
# Environment: DEBIAN_MIRROR (default: the mirror this system uses).
set -eu
final=${1:?usage: debian.sh DIRECTORY}
suite=trixie
packages="php-cli php-memcached php-memcache libmemcached-tools"

fail() {
    echo "debian.sh: $1" >&2
    exit 1
}
keyring=
for candidate in /usr/share/keyrings/debian-archive-keyring.pgp /usr/share/keyrings/debian-archive-keyring.gpg; do
    [ ! -r "$candidate" ] || keyring=$candidate
done
[ -n "$keyring" ] || fail "no Debian keyring (package debian-archive-keyring)"
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *\([^ ]*\/debian\/\{0,1\}\)$/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)}
mirror=${mirror:-http://deb.debian.org/debian}

mkdir -p "$(dirname "$final")"
work=$(mktemp -d "$final.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/out/root"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/apt/sources.list"
: >"$work/apt/status"
cat >"$work/apt/apt.conf" <<CONF
Dir::Etc::SourceList "$work/apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State "$work/apt";
Dir::State::Lists "$work/apt/lists";
Dir::State::Status "$work/apt/status";
Dir::Cache "$work/apt/cache";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Debug::NoLocking "true";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
CONF
apt() {
    apt-get -qq -c "$work/apt/apt.conf" "$@" >&2
}
apt update || fail "cannot read the package list of $suite at $mirror"
# shellcheck disable=SC2086 # one word per package
apt install --download-only --yes $packages || fail "cannot download: $packages"
for deb in "$work"/apt/cache/archives/*.deb; do
    dpkg-deb -x "$deb" "$work/out/root" || fail "cannot unpack $(basename "$deb")"
done

cd "$work/out/root"
loader=$(find usr/lib lib -name 'ld-linux-*.so.*' 2>/dev/null | head -n 1)
[ -n "$loader" ] || fail "no loader in the libc6 of $suite"
triplet=$(basename "$(dirname "$loader")")
libraries=$final/root/usr/lib/$triplet:$final/root/lib/$triplet
php=$(find usr/bin -name 'php[0-9]*' | head -n 1)
extensions=$(dirname "$(find usr/lib/php -name memcached.so | head -n 1)")
[ -n "$php" ] && [ "$extensions" != . ] || fail "no php or no extension in the packages"
start="exec \"$final/root/$loader\" --library-path \"$libraries\""
flags="-n -d extension_dir=$final/root/$extensions"
# those that are in the way of nothing, and that the two need
for extension in igbinary msgpack memcached memcache; do
    [ ! -e "$extensions/$extension.so" ] || flags="$flags -d extension=$extension.so"
done
printf '#!/bin/sh\n%s "%s" %s "$@"\n' "$start" "$final/root/$php" "$flags" >../php
printf '#!/bin/sh\n%s "%s" "$@"\n' "$start" "$final/root/usr/bin/memcslap" >../memcslap
chmod 755 ../php ../memcslap
cd /
rm -rf "$final"
mv -T "$work/out" "$final"
