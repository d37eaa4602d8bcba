//! The Services: both replicas, each replica, and the one by which the sidecars find each other.

use serde_json::{Value, json};

use super::{Child, Input, Kind, child};
use crate::api::v1alpha1::SessionAffinity;
use crate::names::{CLIENT_PORT, CONTROL_PORT, REPLICATION_PORT};

pub(super) fn services(input: &Input<'_>) -> Vec<Child> {
    let mut all = vec![clients(input), peers(input)];
    all.extend((0..2).map(|index| replica(input, index)));
    all
}

fn client_port() -> Value {
    json!([{"name": "tcp-memcached", "port": CLIENT_PORT, "targetPort": "tcp-memcached", "protocol": "TCP"}])
}

fn clients(input: &Input<'_>) -> Child {
    let service = &input.spec.service;
    let mut spec = json!({
        "type": service.type_.as_str(),
        "selector": input.names().selector(),
        "ports": client_port(),
        "ipFamilyPolicy": "PreferDualStack",
        "sessionAffinity": match service.session_affinity {
            SessionAffinity::ClientIP => "ClientIP",
            SessionAffinity::None => "None",
        },
    });
    if let Some(distribution) = service.traffic_distribution {
        spec["trafficDistribution"] = json!(distribution.as_str());
    }
    let mut body = json!({"spec": spec});
    if !service.annotations.is_empty() {
        body["metadata"]["annotations"] = json!(service.annotations);
    }
    child(input, Kind::Service, input.name.to_owned(), body)
}

/// The stable address of one replica.
fn replica(input: &Input<'_>, index: usize) -> Child {
    let mut selector = input.names().selector();
    selector.insert("statefulset.kubernetes.io/pod-name".to_owned(), input.names().replica(index));
    let spec = json!({
        "type": "ClusterIP",
        "selector": selector,
        "ports": client_port(),
        "ipFamilyPolicy": "PreferDualStack",
    });
    child(input, Kind::Service, input.names().replica(index), json!({"spec": spec}))
}

/// A replica that is not ready yet needs its peer most.
fn peers(input: &Input<'_>) -> Child {
    let spec = json!({
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": input.names().selector(),
        "ipFamilyPolicy": "PreferDualStack",
        "ports": [
            {"name": "tcp-replication", "port": REPLICATION_PORT, "targetPort": "tcp-replication", "protocol": "TCP"},
            {"name": "tcp-control", "port": CONTROL_PORT, "targetPort": "tcp-control", "protocol": "TCP"},
        ],
    });
    child(input, Kind::Service, input.names().peers(), json!({"spec": spec}))
}
