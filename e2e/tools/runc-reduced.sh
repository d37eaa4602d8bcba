#!/bin/sh
# An OCI runtime for machines that lack CAP_SYS_RESOURCE: takes that capability, and oom scores below zero, out of what
# docker asks for (create, run: config.json of the bundle; exec: the file of --process), then becomes runc.
command='' bundle=. process='' previous=''
for argument in "$@"; do
    case $previous in
    --bundle | -b) bundle=$argument ;;
    --process | -p) process=$argument ;;
    esac
    case $argument in
    create | run | exec) command=${command:-$argument} ;;
    --bundle=*) bundle=${argument#*=} ;;
    --process=*) process=${argument#*=} ;;
    esac
    previous=$argument
done
case $command in
create | run) spec=$bundle/config.json ;;
exec) spec=$process ;;
*) spec='' ;;
esac
if [ -f "$spec" ]; then
    sed -i -e 's/"CAP_SYS_RESOURCE",//g; s/,"CAP_SYS_RESOURCE"//g; s/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/g' "$spec"
fi
exec runc "$@"
