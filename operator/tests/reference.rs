//! The files made from the types are what `make generate` writes.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::path::Path;

use operator::reference;
use serde_json::Value;

fn is_kept(path: &str, generated: &str) {
    // cargo runs tests in the directory of the package
    let path = Path::new("..").join(path);
    // `make generate` runs this test to write the file
    if std::env::var_os("GENERATE").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == generated, "{} differs from operator/src/api; run `make generate`", path.display());
}

#[test]
fn the_crd_is_up_to_date() {
    is_kept("crds/replicatedmemcacheds.yaml", &reference::crd_yaml().unwrap());
}

#[test]
fn the_crd_of_the_chart_is_up_to_date() {
    is_kept("charts/replicated-memcached/templates/crd.yaml", &reference::chart_crd_yaml().unwrap());
}

#[test]
fn the_reference_of_fields_is_up_to_date() {
    is_kept("docs/fields.md", &reference::markdown().unwrap());
}

/// Rules of the API server are paid for in advance, by the greatest size that a value may have.
#[test]
fn every_list_map_and_string_has_a_maximum_and_every_field_of_the_spec_a_default_or_is_optional() {
    let crd = serde_json::to_value(reference::crd().unwrap()).unwrap();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    assert_eq!(schema.pointer("/properties/spec/default"), Some(&serde_json::json!({})));
    let mut faults = Vec::new();
    for part in ["spec", "status"] {
        walk(part, schema.pointer(&format!("/properties/{part}")).unwrap(), &mut faults);
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let required = schema.pointer("/properties/spec/required");
    assert_eq!(required, None);
}

fn walk(path: &str, schema: &Value, faults: &mut Vec<String>) {
    let has = |key: &str| schema.get(key).is_some();
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if !has("maxLength") && !has("enum") && !has("format") => {
            faults.push(format!("{path}: maxLength"))
        }
        Some("array") if !has("maxItems") => faults.push(format!("{path}: maxItems")),
        Some("object") if has("additionalProperties") && !has("maxProperties") => {
            faults.push(format!("{path}: maxProperties"));
        }
        Some(_) => {}
        None => faults.push(format!("{path}: type")),
    }
    if path.starts_with("spec.")
        && !path.contains("[]")
        && !has("default")
        && schema.get("nullable") != Some(&Value::Bool(true))
    {
        faults.push(format!("{path}: default"));
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        properties.iter().for_each(|(name, field)| walk(&format!("{path}.{name}"), field, faults));
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "[]{}")] {
        if let Some(inner) = schema.get(key) {
            walk(&format!("{path}{suffix}"), inner, faults);
        }
    }
}
