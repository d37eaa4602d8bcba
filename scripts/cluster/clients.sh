#!/usr/bin/env bash
# Puts kind, kubectl and helm into the cluster's bin directory: those of the PATH where they fit the cluster
# (kubectl: at most one minor apart), else built from the pinned Go modules in e2e/tools.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

help "$@"
server_minor=$(cut -d . -f 2 <<<"$KUBERNETES_VERSION")

kind_fits() {
    local minor
    minor=$("$1" version 2>/dev/null | sed -n 's/^kind v0\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge 31 ] # the first that knows Kubernetes 1.34's images by digest
}
kubectl_fits() {
    local minor
    minor=$("$1" version --client 2>/dev/null | sed -n 's/^Client Version: v1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge $((server_minor - 1)) ] && [ "$minor" -le $((server_minor + 1)) ]
}
helm_fits() {
    "$1" version --short 2>/dev/null | grep -qE '^v(3\.(1[7-9]|[2-9][0-9])|4)\.' # --take-ownership came with 3.17
}

mkdir -p "$BIN"
# a shell that uses the cluster has what was chosen before on its PATH: that is no choice
PATH=${PATH//"$BIN:"/}
chosen=()
for pair in kind:clients kubectl:kubernetes helm:clients; do
    program=${pair%%:*} module=${pair##*:}
    found=$(command -v "$program" || true)
    if [ -n "$found" ] && "${program}_fits" "$found"; then
        chosen+=("$program: $found")
    else
        [ -z "$found" ] || echo "$found does not fit: not used"
        found=$(scripts/cluster/go-tool.sh "$module")/$program
        chosen+=("$program: built")
    fi
    ln -sfn "$found" "$BIN/$program"
done
printf '%s\n' "${chosen[@]}" | paste -sd , -
