#!/bin/sh
# Unpacks a program of a newer Debian into a cache, beside whatever this system has, and prints the path of an
# executable that starts it with its own loader and libraries. Needs no root and installs nothing.
#
#   debian.sh trixie                    memcached 1.6.38
#   debian.sh forky                     memcached 1.6.45
#   debian.sh forky memcached-sasl      the same, with what -S needs, and saslpasswd2 beside it
#   debian.sh trixie nutcracker         twemproxy, for comparisons
#   debian.sh trixie php                php with its two memcached extensions
#   debian.sh trixie memcslap           libmemcached's tools, each beside it
#   debian.sh trixie python3            python with pylibmc, whose wheel of PyPI has no SASL
#
# Environment: XDG_CACHE_HOME (default ~/.cache), DEBIAN_MIRROR (default: the mirror this system uses).
set -eu
suite=${1:?usage: debian.sh SUITE [PROGRAM]}
program=${2:-memcached}
memcached="memcached libc6 libevent-2.1-7t64 libsasl2-2 libssl3t64 libseccomp2 liblua5.4-0 libzstd1 zlib1g"
# `packages` are fetched, with all that they depend on if `whole` is set; each of `programs` is then started by a wrapper.
whole=
case $program in
memcached)
    programs=usr/bin/memcached
    packages=$memcached
    ;;
memcached-sasl)
    programs="usr/bin/memcached usr/sbin/saslpasswd2"
    packages="$memcached sasl2-bin libsasl2-modules libsasl2-modules-db libdb5.3t64"
    ;;
nutcracker)
    programs=usr/sbin/nutcracker
    packages="nutcracker libc6 libyaml-0-2"
    ;;
php)
    programs='usr/bin/php[0-9]*'
    packages="php-cli php-memcached php-memcache libsasl2-modules"
    whole=yes
    ;;
memcslap)
    programs='usr/bin/memc*'
    packages="libmemcached-tools libsasl2-modules"
    whole=yes
    ;;
python3)
    programs=usr/bin/python3
    packages="python3 python3-pylibmc libsasl2-modules"
    whole=yes
    ;;
*)
    echo "debian.sh: unknown program $program" >&2
    exit 2
    ;;
esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/replicated-memcached/$program
final=$cache/$suite
wrapper=$final/$program
if [ -x "$wrapper" ]; then
    echo "$wrapper"
    exit 0
fi

fail() {
    [ "$program" != memcached ] || set -- "$1; install memcached 1.6.27 or newer on the PATH instead"
    echo "debian.sh: $1" >&2
    exit 1
}
for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || fail "no $tool here, so Debian's packages cannot be fetched"
done
keyring=
for candidate in /usr/share/keyrings/debian-archive-keyring.pgp /usr/share/keyrings/debian-archive-keyring.gpg; do
    [ ! -r "$candidate" ] || keyring=$candidate
done
[ -n "$keyring" ] || fail "no Debian keyring (package debian-archive-keyring)"
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: *\([^ ]*\/debian\/\{0,1\}\)$/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)}
mirror=${mirror:-http://deb.debian.org/debian}

# Unpacked aside and moved in one step: a process that runs at the same time or is killed leaves no half cache.
mkdir -p "$cache"
work=$(mktemp -d "$cache/.$suite.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/debs" "$work/out/root"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/apt/sources.list"
: >"$work/apt/status"

# Every place apt writes to is ours, so that any user can run it, and hooks of the system that clean its own
# caches are left out. Root must not drop to the user _apt, who cannot enter the home directory.
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
echo "fetching $program of Debian $suite from $mirror" >&2
apt update || fail "cannot read the package list of $suite at $mirror"
# shellcheck disable=SC2086 # one word per package
if [ -n "$whole" ]; then
    apt install --download-only --yes $packages || fail "cannot download: $packages"
    mv "$work"/apt/cache/archives/*.deb "$work/debs"
else
    (cd "$work/debs" && apt download $packages) || fail "cannot download: $packages"
fi
for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/out/root" || fail "cannot unpack $(basename "$deb")"
done

# The path of the loader depends on the processor only; two libraries directories for merged and unmerged /usr.
cd "$work/out/root"
loader=$(find usr/lib lib -name 'ld-linux-*.so.*' 2>/dev/null | head -n 1)
[ -n "$loader" ] || fail "no loader in the libc6 of $suite"
triplet=$(basename "$(dirname "$loader")")
# Plugins are looked for beside these libraries, not in this system, whose own may be missing or older.
environment=
[ ! -d "usr/lib/$triplet/sasl2" ] || environment="SASL_PATH='$final/root/usr/lib/$triplet/sasl2'; export SASL_PATH"
[ "$program" != python3 ] || environment="$environment; PYTHONHOME='$final/root/usr'; export PYTHONHOME"
for binary in $programs; do
    [ -f "$binary" ] || fail "no $binary in the packages"
    name=$(basename "$binary")
    # php8.4 is php, and memcached with more beside it has a name of its own
    case $program:$name in
    php:* | memcached-sasl:memcached) name=$program ;;
    esac
    cat >"../$name" <<WRAPPER
#!/bin/sh
$environment
exec "$final/root/$loader" --library-path "$final/root/usr/lib/$triplet:$final/root/lib/$triplet" "$final/root/$binary" "\$@"
WRAPPER
    chmod 755 "../$name"
done
cd /
mv -T "$work/out" "$final" 2>/dev/null || [ -x "$wrapper" ] || fail "cannot write $final"
echo "$wrapper"
