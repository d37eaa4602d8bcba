#!/bin/sh
# libmemcached's tools, as a person or a script uses them: tools.sh DIRECTORY SCENARIO HOST PORT
set -u
tools=$1 scenario=$2 server=$3:$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
more=
known=
case $scenario in
operations-binary) more=--binary ;;
login)
    more=--binary
    known="--username=$CLIENT_USER --password=$CLIENT_PASSWORD"
    ;;
esac

# Prints what a tool says, and its exit code. What it says to standard error has addresses and lines of source in it.
run() {
    what=$1 tool=$2
    shift 2
    # shellcheck disable=SC2086 # no option, or several
    said=$("$tools/$tool" --servers="$server" $more $known "$@" 2>/dev/null)
    echo "$what: $? $said"
}

printf v >k
printf w >new
printf 'a\r\nb' >lines
head -c 900000 /dev/zero | tr '\0' x >large
head -c 2000000 /dev/zero | tr '\0' x >toolarge
run ping memcping
run flush memcflush
run copy memccp k
run cat memccat k
run "cat nothing" memccat none
run add memccp --add k
run "add new" memccp --add new
run replace memccp --replace k
run "replace nothing" memccp --replace lines
run "copy many" memccp k new lines
run "cat many" memccat k new lines
run exist memcexist k
run "exist nothing" memcexist none
run touch memctouch --expire=100 k
run "touch nothing" memctouch --expire=100 none
run large memccp large
run "cat large" memccat --file=back large
cmp large back && echo "large: the same"
run "too large" memccp toolarge
run remove memcrm k
run "remove nothing" memcrm k
run "remove many" memcrm new lines
run "cat removed" memccat k new lines
# shellcheck disable=SC2086 # no option, or several
"$tools/memcstat" --servers="$server" $more $known 2>/dev/null | grep -c curr_items

if [ "$scenario" = login ]; then
    for which in wrong "wrong user" none; do
        case $which in
        wrong) known="--username=$CLIENT_USER --password=wrong" ;;
        "wrong user") known="--username=nobody --password=$CLIENT_PASSWORD" ;;
        none) known= ;;
        esac
        run "$which: copy" memccp k
        run "$which: cat" memccat k
    done
fi
exit 0
