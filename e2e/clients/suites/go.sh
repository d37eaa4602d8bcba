#!/bin/sh
# The test of gomemcache that wants a server: go.sh PROGRAM SCENARIO HOST PORT
set -u
MEMCACHED_SERVER=$3:$4 "$1" -test.v -test.run '^TestLocalhost$' 2>&1 | grep -v '^=== ' | sed 's/ ([0-9.]*s)$//'
