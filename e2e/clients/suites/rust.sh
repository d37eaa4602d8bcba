#!/bin/sh
# The tests of the crate memcache that want one server: rust.sh DIRECTORY SCENARIO HOST PORT
set -u
export MEMCACHED_SERVER="$3:$4"
cd "$1" || exit 1
run() {
    # one after the other, since some empty the server
    "$@" --test-threads=1 2>/dev/null | sed -n 's/^test \(.* \.\.\. [a-zA-Z]*\)$/\1/p'
}
# the others of `tests` want TLS and UDP at once, and what is left out of the rest measures time
run ./tests --exact issue74 test_cas test_get_with_flags
run ./test_ascii
run ./test_exp_meta_client
run ./test_exp_memcache
run ./test_memcache --skip fetch_waits_for_another_process
run ./test_async_memcache --skip fetch_waits_for_another_process
