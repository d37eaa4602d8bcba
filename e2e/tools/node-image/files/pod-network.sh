#!/bin/sh
# The pod network of a node built here, in the place of kindnet: this node's CNI configuration, a route to each other
# node's pods, and a masquerade for what leaves the cluster. It enforces no NetworkPolicy.
set -eu
account=/var/run/secrets/kubernetes.io/serviceaccount

# A line for each node now and whenever one changes; ends now and then, when the apiserver ends the watch.
nodes() {
    kubectl --server="https://$CONTROL_PLANE_ENDPOINT" --certificate-authority=$account/ca.crt \
        --token="$(cat $account/token)" get nodes --watch \
        -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address} {.spec.podCIDR}{"\n"}'
}

configuration() {
    cat <<JSON
{"cniVersion": "0.3.1", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "$1"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
JSON
}

while :; do
    nodes | while read -r address pods; do
        [ -n "$pods" ] || continue
        if [ "$address" != "$HOST_IP" ]; then
            ip route replace "$pods" via "$address"
            continue
        fi
        file=/etc/cni/net.d/10-pods.conflist
        if [ "$(configuration "$pods")" != "$(cat $file 2>/dev/null)" ]; then
            configuration "$pods" >/etc/cni/net.d/.pods
            mv /etc/cni/net.d/.pods $file
            echo "pods of this node: $pods"
        fi
        set -- POSTROUTING -s "$pods" ! -d "$POD_SUBNET" -m addrtype ! --dst-type LOCAL -j MASQUERADE
        iptables -w -t nat -C "$@" 2>/dev/null || iptables -w -t nat -A "$@"
    done
    sleep 2
done
