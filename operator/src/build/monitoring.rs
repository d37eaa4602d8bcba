//! What the Prometheus operator is told.

use serde_json::{Value, json};

use super::{Child, Input, Kind, child};

pub(super) fn pod_monitor(input: &Input<'_>) -> Option<Child> {
    let wanted = &input.spec.monitoring.pod_monitor;
    if !wanted.enabled {
        return None;
    }
    let body = json!({
        "metadata": {"labels": wanted.labels},
        "spec": {
            "selector": {"matchLabels": input.names().selector()},
            "podMetricsEndpoints": [{"port": "http-admin", "path": "/metrics", "interval": format!("{}s", wanted.interval_seconds)}],
            "podTargetLabels": ["app.kubernetes.io/instance"],
        },
    });
    Some(child(input, Kind::PodMonitor, input.name.to_owned(), body))
}

pub(super) fn rules(input: &Input<'_>) -> Option<Child> {
    let wanted = &input.spec.monitoring.rules;
    if !wanted.enabled {
        return None;
    }
    let pods = format!("namespace=\"{}\",pod=~\"{}-[01]\"", input.namespace, input.name);
    let pair = format!("{}/{}", input.namespace, input.name);
    let alert = |name: &str, expression: String, time: &str, severity: &str, summary: String| -> Value {
        json!({
            "alert": name,
            "expr": expression,
            "for": time,
            "labels": {"severity": severity, "replicatedmemcached": input.name},
            "annotations": {"summary": summary},
        })
    };
    let rules = [
        alert(
            "ReplicatedMemcachedDown",
            format!("max(rmc_ready{{{pods}}}) < 1 or absent(rmc_ready{{{pods}}})"),
            "1m",
            "critical",
            format!("No replica of {pair} serves clients"),
        ),
        alert(
            "ReplicatedMemcachedNotReplicating",
            format!("min(rmc_peer_connected{{{pods}}}) < 1"),
            "5m",
            "warning",
            format!("The replicas of {pair} have had no link for 5 minutes: losing one now loses what the other lacks"),
        ),
        alert(
            "ReplicatedMemcachedLag",
            format!("max(rmc_replication_oldest_unconfirmed_seconds{{{pods}}}) > 10"),
            "5m",
            "warning",
            format!("Writes to {pair} wait for more than 10 s to be replicated"),
        ),
        alert(
            "ReplicatedMemcachedClockSkew",
            format!("max(abs(rmc_clock_skew_seconds{{{pods}}})) > 1"),
            "10m",
            "warning",
            format!("The clocks of the replicas of {pair} differ: of two concurrent writes the older may win"),
        ),
    ];
    let body = json!({
        "metadata": {"labels": wanted.labels},
        "spec": {"groups": [{"name": format!("replicated-memcached.{pair}"), "rules": rules}]},
    });
    Some(child(input, Kind::PrometheusRule, input.name.to_owned(), body))
}
