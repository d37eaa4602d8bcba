#!/bin/sh
# Puts a client library into the cache, once, and prints the command that starts its program: one word a line.
# Exit code 3: the runtime is missing; the last line of standard error says what to install.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/replicated-memcached/clients
mkdir -p "$cache"

# The versions that are tested. The README has the same table; a test compares them.
PYMEMCACHE=4.0.0
BMEMCACHED=0.33.0
PYLIBMC=1.6.3
GOMEMCACHE=v0.0.0-20260422231931-4d751bb6e37c
MEMJS=1.3.2
SPYMEMCACHED=2.12.3

missing() {
    echo "$1" >&2
    exit 3
}

# Runs `$2...` once for the version `$1`; what is half done is done again.
once() {
    stamp=$cache/$1
    shift
    if [ ! -e "$stamp" ]; then
        "$@" >&2
        : >"$stamp"
    fi
}

python() {
    command -v python3 >/dev/null || missing "python3; on Debian: apt-get install python3 python3-venv"
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing "python3-venv; on Debian: apt-get install python3-venv"
    once "python-$PYMEMCACHE-$BMEMCACHED-$PYLIBMC" python_packages
    printf '%s\n' "$cache/python/bin/python3" "$here/python/$1.py"
}

python_packages() {
    python3 -m venv --clear "$cache/python"
    "$cache/python/bin/pip" install --quiet --disable-pip-version-check \
        "pymemcache==$PYMEMCACHE" "python-binary-memcached==$BMEMCACHED" "pylibmc==$PYLIBMC"
}

gomemcache() {
    command -v go >/dev/null || missing "go; see https://go.dev, or on Debian: apt-get install golang"
    once "gomemcache-$GOMEMCACHE-$(cksum <"$here/go/main.go" | tr ' ' -)" go_program
    printf '%s\n' "$cache/gomemcache"
}

go_program() {
    (cd "$here/go" && GOFLAGS=-mod=readonly go build -trimpath -o "$cache/gomemcache" .)
}

memjs() {
    command -v npm >/dev/null || missing "node and npm; on Debian: apt-get install nodejs npm"
    once "memjs-$MEMJS" npm install --silent --no-audit --no-fund --prefix "$cache/node" "memjs@$MEMJS"
    printf '%s\n' env "NODE_PATH=$cache/node/node_modules" node "$here/node/memjs.js"
}

spymemcached() {
    command -v javac >/dev/null || missing "a JDK; on Debian: apt-get install default-jdk-headless"
    command -v mvn >/dev/null || command -v curl >/dev/null || missing "curl; on Debian: apt-get install curl"
    once "spymemcached-$SPYMEMCACHED-$(cksum <"$here/java/Spy.java" | tr ' ' -)" java_program
    printf '%s\n' java -cp "$cache/java:$cache/java/spymemcached-$SPYMEMCACHED.jar" Spy
}

java_program() {
    mkdir -p "$cache/java"
    jar=spymemcached-$SPYMEMCACHED.jar
    maven=${MAVEN_MIRROR:-https://repo1.maven.org/maven2}
    curl -fsSL --retry 3 -o "$cache/java/$jar" "$maven/net/spy/spymemcached/$SPYMEMCACHED/$jar"
    javac -d "$cache/java" -cp "$cache/java/$jar" "$here/java/Spy.java"
}

php() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || missing "Debian's apt-get and dpkg-deb"
    once "debian-$(cksum <"$here/debian.sh" | tr ' ' -)" "$here/debian.sh" "$cache/debian"
    printf '%s\n' "$cache/debian/php" "$here/php/$1.php"
}

memcslap() {
    php memcached >/dev/null
    printf '%s\n' "$cache/debian/memcslap"
}

case ${1:-} in
pymemcache) python pymemcache_client ;;
bmemcached) python bmemcached_client ;;
pylibmc) python pylibmc_client ;;
php-memcached) php memcached ;;
php-memcache) php memcache ;;
gomemcache | memjs | spymemcached | memcslap) "$1" ;;
*)
    echo "usage: setup.sh pymemcache|bmemcached|pylibmc|gomemcache|memjs|spymemcached|php-memcached|php-memcache|memcslap" >&2
    exit 2
    ;;
esac
