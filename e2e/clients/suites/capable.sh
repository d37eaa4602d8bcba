#!/bin/sh
# libmemcached's test of a server: capable.sh MEMCCAPABLE SCENARIO HOST PORT
set -u
"$1" -h "$3" -p "$4" -t 20 2>/dev/null | grep -E '\[(pass|FAIL)\]|^[a-z ]+$'
