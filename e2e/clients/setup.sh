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
MEMCACHE=0.21.0
MEMJS=1.3.2
SPYMEMCACHED=2.12.3
# and what only the suites need
pytest=8.4.2

missing() {
    echo "$1" >&2
    exit 3
}

# once PLACE COMMAND...: has the command make the directory PLACE of the cache, unless it is there. What is half done is done
# again, and other versions of this script, whose places have other names, are left alone.
once() {
    place=$cache/$1
    shift
    if [ ! -e "$place/made" ]; then
        rm -rf "$place"
        mkdir -p "$place"
        "$@" >&2
        : >"$place/made"
    fi
}

# Of these files and of this script, which tells the versions.
digest() {
    cat "$here/setup.sh" "$@" | cksum | tr ' ' -
}

# pinned FILE TEXT: the version of this script is the one that the file asks for.
pinned() {
    grep -qF "$2" "$1" && return
    echo "setup.sh: $1 does not say $2" >&2
    exit 1
}

python() {
    command -v python3 >/dev/null || missing "python3; on Debian: apt-get install python3 python3-venv"
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing "python3-venv; on Debian: apt-get install python3-venv"
    once "venv-$PYMEMCACHE-$BMEMCACHED-$PYLIBMC" python_packages
    printf '%s\n' "$place/bin/python3" "$here/python/$1.py"
}

python_packages() {
    python3 -m venv --clear "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check \
        "pymemcache==$PYMEMCACHE" "python-binary-memcached==$BMEMCACHED" "pylibmc==$PYLIBMC"
}

gomemcache() {
    command -v go >/dev/null || missing "go; see https://go.dev, or on Debian: apt-get install golang"
    pinned "$here/go/go.mod" "gomemcache $GOMEMCACHE"
    once "go-$(digest "$here/go/main.go" "$here/go/go.mod")" go_program
    printf '%s\n' "$place/gomemcache"
}

go_program() {
    (cd "$here/go" && GOFLAGS=-mod=readonly go build -trimpath -o "$place/gomemcache" .)
}

rust_memcache() {
    command -v cargo >/dev/null || missing "Rust: https://rustup.rs"
    command -v pkg-config >/dev/null && pkg-config --exists openssl ||
        missing "OpenSSL's headers; on Debian: apt-get install libssl-dev pkg-config"
    pinned "$here/rust/Cargo.toml" "memcache = \"=$MEMCACHE\""
    once "rust-$(digest "$here/rust/src/main.rs" "$here/rust/Cargo.lock")" rust_program
    printf '%s\n' "$place/clients"
}

# What is compiled of the dependencies serves the next version, too.
rust_program() {
    CARGO_TARGET_DIR=$cache/rust-target cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml"
    cp "$cache/rust-target/debug/clients" "$place"
}

memjs() {
    command -v npm >/dev/null || missing "node and npm; on Debian: apt-get install nodejs npm"
    once "npm-$MEMJS" npm_packages
    printf '%s\n' env "NODE_PATH=$place/node_modules" node "$here/node/memjs.js"
}

npm_packages() {
    npm install --silent --no-audit --no-fund --prefix "$place" "memjs@$MEMJS"
}

spymemcached() {
    command -v javac >/dev/null || missing "a JDK; on Debian: apt-get install default-jdk-headless"
    command -v curl >/dev/null || missing "curl; on Debian: apt-get install curl"
    once "java-$(digest "$here/java/Spy.java")" java_program
    printf '%s\n' java -cp "$place:$place/spymemcached-$SPYMEMCACHED.jar" Spy
}

java_program() {
    jar=spymemcached-$SPYMEMCACHED.jar
    maven=${MAVEN_MIRROR:-https://repo1.maven.org/maven2}
    curl -fsSL --retry 3 -o "$place/$jar" "$maven/net/spy/spymemcached/$SPYMEMCACHED/$jar"
    javac -d "$place" -cp "$place/$jar" "$here/java/Spy.java"
}

# The directory with a program of Debian and its wrapper.
debian() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || missing "Debian's apt-get and dpkg-deb"
    dirname "$("$here/../debian.sh" trixie "$1")"
}

php() {
    directory=$(debian php)
    extensions=$(dirname "$(find "$directory/root/usr/lib/php" -name memcached.so)")
    printf '%s\n' "$directory/php" -n -d "extension_dir=$extensions"
    # those that the two need, and the two
    for extension in igbinary msgpack memcached memcache; do
        [ ! -e "$extensions/$extension.so" ] || printf '%s\n' -d "extension=$extension.so"
    done
    printf '%s\n' "$here/php/$1.php"
}

# The test suites that libraries ship. Where they name a place of the server, that is made the one they are told.
python_suite() {
    python pymemcache_client >/dev/null
    once "suites-venv-$PYMEMCACHE-$BMEMCACHED-$PYLIBMC-$(digest)" python_tests
    printf '%s\n' "$place/bin/python3" "$here/suites/python.py" "$1" "$place/tests/$1"
}

python_tests() {
    python3 -m venv --clear "$place"
    pip() { "$place/bin/pip" --quiet --disable-pip-version-check "$@"; }
    pip install "pytest==$pytest" "pymemcache==$PYMEMCACHE" "python-binary-memcached==$BMEMCACHED" "pylibmc==$PYLIBMC"
    pip download --no-deps --no-binary :all: --dest "$place/tests" \
        "python-binary-memcached==$BMEMCACHED" "pylibmc==$PYLIBMC"
    cd "$place/tests"
    for archive in *.tar.gz; do
        tar -xzf "$archive"
    done
    mkdir pymemcache pylibmc
    mv "python_binary_memcached-$BMEMCACHED/test" bmemcached
    mv "pylibmc-$PYLIBMC/tests" pylibmc/tests
    sed -i 's|"{}:11211".format(os.environ\["MEMCACHED_HOST"\])|os.environ["MEMCACHED_SERVER"]|
        s|"/tmp/memcached.sock"|os.environ["MEMCACHED_SERVER"]|' bmemcached/*.py
    sed -i 's|memcached_port = "11211"|memcached_port = __import__("os").environ["MEMCACHED_PORT"]|
        s|elasticache()|elasticache(address=__import__("os").environ["MEMCACHED_SERVER"])|' pylibmc/tests/*.py
}

go_suite() {
    gomemcache >/dev/null
    once "suites-go-$(digest "$here/go/go.mod")" go_tests
    printf '%s\n' "$here/suites/go.sh" "$place/gomemcache.test"
}

go_tests() {
    library=$(cd "$here/go" && go list -m -f '{{.Dir}}' github.com/bradfitz/gomemcache)
    cp -r --no-preserve=mode "$library/." "$place"
    cd "$place"
    sed -i 's|^const localhostTCPAddr = .*|var localhostTCPAddr = os.Getenv("MEMCACHED_SERVER")|' memcache/memcache_test.go
    go test -c -o gomemcache.test ./memcache
}

rust_suite() {
    rust_memcache >/dev/null
    once "suites-rust-$(digest "$here/rust/Cargo.lock")" rust_tests
    printf '%s\n' "$here/suites/rust.sh" "$place"
}

rust_tests() {
    manifest=$(cargo metadata --locked --format-version 1 --manifest-path "$here/rust/Cargo.toml" |
        grep -o '"manifest_path":"[^"]*/memcache-[0-9.]*/Cargo.toml"' | cut -d '"' -f 4)
    cp -r "$(dirname "$manifest")" "$place/source"
    cd "$place/source"
    sed -i '/^const SERVER: /d
        s|\bSERVER\b|server()|g
        s|"localhost:1234[56]"|server()|g
        s|connect("memcache://localhost:1234[56]\([^"]*\)")|connect(format!("memcache://{}\1", server()))|' tests/*.rs
    for file in tests/*.rs; do
        # shellcheck disable=SC2016 # Rust
        echo 'fn server() -> &'"'"'static str { std::env::var("MEMCACHED_SERVER").unwrap().leak() }' >>"$file"
    done
    CARGO_TARGET_DIR=$cache/rust-target cargo test --locked --no-run --no-default-features --features tokio,serde_json \
        --test '*' 2>&1 | sed -n 's|.*(\(.*/deps/\([a-z_]*\)-[0-9a-f]*\))$|\1 \2|p' >programs
    [ -s programs ]
    while read -r program name; do
        cp "$program" "$place/$name"
    done <programs
}

case ${1:-} in
pymemcache) python pymemcache_client ;;
bmemcached) python bmemcached_client ;;
pylibmc) python pylibmc_client ;;
pylibmc-sasl)
    directory=$(debian python3)
    printf '%s\n' "$directory/python3" "$here/python/pylibmc_client.py"
    ;;
php-memcached) php memcached ;;
php-memcache) php memcache ;;
rust-memcache) rust_memcache ;;
memcslap)
    directory=$(debian memcslap)
    printf '%s\n' "$directory/memcslap"
    ;;
tools)
    directory=$(debian memcslap)
    printf '%s\n' "$here/tools/tools.sh" "$directory"
    ;;
gomemcache | memjs | spymemcached) "$1" ;;
suite-pymemcache | suite-bmemcached | suite-pylibmc) python_suite "${1#suite-}" ;;
suite-gomemcache) go_suite ;;
suite-rust-memcache) rust_suite ;;
suite-memccapable)
    directory=$(debian memcslap)
    printf '%s\n' "$here/suites/capable.sh" "$directory/memccapable"
    ;;
*)
    echo "usage: setup.sh pymemcache|bmemcached|pylibmc|pylibmc-sasl|gomemcache|rust-memcache|memjs|spymemcached|" >&2
    echo "                php-memcached|php-memcache|memcslap|tools|" >&2
    echo "                suite-(pymemcache|bmemcached|pylibmc|gomemcache|rust-memcache|memccapable)" >&2
    exit 2
    ;;
esac
