//! Who may connect.

use serde_json::{Value, json};

use super::{Child, Input, Kind, child};
use crate::api::v1alpha1::Peer;
use crate::names::{ADMIN_PORT, CLIENT_PORT, CONTROL_PORT, REPLICATION_PORT};

pub(super) fn policy(input: &Input<'_>) -> Option<Child> {
    let wanted = &input.spec.network_policy;
    if !wanted.enabled {
        return None;
    }
    let pair = json!([{"podSelector": {"matchLabels": input.names().selector()}}]);
    // Outside of a cluster, nobody knows where the operator calls from; its certificate says who it is.
    let operator = match &input.platform.operator_namespace {
        Some(namespace) => json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]),
        None => json!([]),
    };
    let spec = json!({
        "podSelector": {"matchLabels": input.names().selector()},
        "policyTypes": ["Ingress"],
        "ingress": [
            rule(CLIENT_PORT, peers(&wanted.from)),
            rule(REPLICATION_PORT, pair),
            rule(CONTROL_PORT, operator),
            rule(ADMIN_PORT, peers(&wanted.monitoring_from)),
        ],
    });
    Some(child(input, Kind::NetworkPolicy, input.name.to_owned(), json!({"spec": spec})))
}

/// No peers are all peers.
fn rule(port: u16, from: Value) -> Value {
    let mut rule = json!({"ports": [{"port": port, "protocol": "TCP"}]});
    if from.as_array().is_some_and(|peers| !peers.is_empty()) {
        rule["from"] = from;
    }
    rule
}

fn peers(from: &[Peer]) -> Value {
    let one = |peer: &Peer| {
        let mut entry = json!({});
        if let Some(cidr) = &peer.cidr {
            entry["ipBlock"] = json!({"cidr": cidr});
        }
        for (name, labels) in [("podSelector", &peer.pod_labels), ("namespaceSelector", &peer.namespace_labels)] {
            if let Some(labels) = labels {
                entry[name] = json!({"matchLabels": labels});
            }
        }
        entry
    };
    from.iter().map(one).collect()
}
