//! Alerts and dashboards speak of metrics that the programs export: a name that nobody exports is an alert that never fires.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use operator::api::ReplicatedMemcachedSpec;
use operator::build::{self, Input, Kind, Platform};
use operator::metrics::{ConditionLabels, Metrics};
use operator::sizes::Sizes;
use serde_json::Value;
use sidecar::stats::Stats;

/// The names of all series that a sidecar and the operator export.
fn exported() -> BTreeSet<String> {
    let sidecar = sidecar::metrics::Metrics::new(Arc::new(Stats::new(1))).text();
    let operator = Metrics::default();
    let labels = ConditionLabels { namespace: String::new(), name: String::new(), condition: "Available" };
    operator.conditions.get_or_create(&labels).set(1.0);
    let text = sidecar + &operator.text();
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()).collect()
}

/// Every word of an expression that is a metric of ours.
fn metrics(expression: &str) -> Vec<&str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("rmc_")).collect()
}

fn check(of: &str, expressions: &[String]) {
    let exported = exported();
    assert!(!expressions.is_empty(), "{of}: no expressions");
    for expression in expressions {
        let named = metrics(expression);
        assert!(!named.is_empty(), "{of}: {expression} names no metric");
        for name in named {
            assert!(exported.contains(name), "{of}: nobody exports {name}");
        }
        // A condition that does not exist is never true.
        for condition in expression.split("condition=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(["Available", "Synced", "Progressing", "Degraded"].contains(&condition), "{of}: {condition}");
        }
    }
}

fn chart(file: &str) -> String {
    // cargo runs tests in the directory of the package
    std::fs::read_to_string(Path::new("../charts/replicated-memcached/files").join(file)).unwrap()
}

/// The values of all fields `expr`, wherever they are.
fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("expr", Value::String(text)) => vec![text.clone()],
                _ => expressions(value),
            })
            .collect(),
        Value::Array(all) => all.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_chart_s_alerts() {
    let alerts: Value = serde_yaml::from_str(&chart("alerts.yaml")).unwrap();
    check("alerts.yaml", &expressions(&alerts));
}

#[test]
fn the_chart_s_dashboard() {
    let dashboard: Value = serde_json::from_str(&chart("dashboard.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(!expressions(panel).is_empty(), "{}: shows nothing", panel["title"]);
    }
    check("dashboard.json", &expressions(&dashboard));
}

#[test]
fn the_alerts_of_a_pair() {
    let mut spec = ReplicatedMemcachedSpec::default();
    spec.monitoring.rules.enabled = true;
    let (sizes, platform) = (
        Sizes::new(&spec).unwrap(),
        Platform { sidecar_image: "sidecar".to_owned(), registry: None, operator_namespace: None },
    );
    let children = build::children(&Input {
        name: "web",
        namespace: "shop",
        uid: "u",
        generation: 1,
        update: None,
        spec: &spec,
        sizes: &sizes,
        platform: &platform,
        max_unavailable: 1,
    });
    let rules = children.wanted.iter().find(|child| child.kind == Kind::PrometheusRule).unwrap();
    check("PrometheusRule", &expressions(&rules.object));
}
