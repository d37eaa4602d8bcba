#!/usr/bin/env bash
# Part of build.sh: the Go programs of a node, in $WORK/bin and $WORK/cni; kind's own files in $WORK/kind.
. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/cluster/lib.sh"

mkdir -p "$WORK/bin" "$WORK/cni"
for module in pause kubernetes etcd coredns crictl; do
    directory=$(scripts/cluster/go-tool.sh $module)
    cp "$directory"/* "$WORK/bin/"
done
mv "$WORK/bin/server" "$WORK/bin/etcd" # go names it after its directory
directory=$(scripts/cluster/go-tool.sh cni)
cp "$directory"/* "$WORK/cni/"
cd e2e/tools/clients || exit
kind=$(GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' sigs.k8s.io/kind)
[ -n "$kind" ] || kind=$(go mod download -json sigs.k8s.io/kind | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
cp -r --no-preserve=mode,ownership "$kind/images/base/files" "$WORK/kind"
