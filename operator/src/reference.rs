//! The custom resource as files: the CRD, and the reference of its fields.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value};

use crate::api::ReplicatedMemcached;

/// What cannot happen as long as the tests pass: the types yield no CRD.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// In JSON.
    #[error("the CRD as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// In YAML.
    #[error("the CRD as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

/// The CRD, as the API server gets it.
///
/// # Errors
/// See [`CrdError`].
pub fn crd() -> Result<CustomResourceDefinition, CrdError> {
    let mut value = serde_json::to_value(ReplicatedMemcached::crd())?;
    if let Some(versions) = value.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                tidy(schema);
                optional_spec(schema);
            }
        }
    }
    Ok(serde_json::from_value(value)?)
}

/// The CRD as YAML.
///
/// # Errors
/// See [`CrdError`].
pub fn crd_yaml() -> Result<String, CrdError> {
    Ok(serde_yaml::to_string(&crd()?)?)
}

/// The chart's copy: the same, in the frame that values switch on and off.
///
/// # Errors
/// See [`CrdError`].
pub fn chart_crd_yaml() -> Result<String, CrdError> {
    // Braces of the schema, if there will ever be a pair of them, must not be read by Helm.
    let plain = crd_yaml()?.replace("{{", "{{ \"{{\" }}");
    let name = format!("  name: {}\n", ReplicatedMemcached::crd_name());
    let metadata = format!(
        "{name}  labels:\n    {{{{- include \"replicated-memcached.labels\" . | nindent 4 }}}}\n  \
         {{{{- if .Values.crds.keep }}}}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{{{- end }}}}\n"
    );
    let body = plain.replacen(&name, &metadata, 1);
    Ok(format!(
        "{{{{- /* made by `make generate` from operator/src/api; a test fails when the two differ */ -}}}}\n\
         {{{{- if .Values.crds.install }}}}\n{body}{{{{- end }}}}\n"
    ))
}

/// A resource may be nothing but a name.
fn optional_spec(schema: &mut Value) {
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|field| field != "spec");
    }
    if schema.get("required").and_then(Value::as_array).is_some_and(Vec::is_empty)
        && let Some(schema) = schema.as_object_mut()
    {
        schema.remove("required");
    }
    if let Some(spec) = schema.pointer_mut("/properties/spec").and_then(Value::as_object_mut) {
        spec.insert("default".to_owned(), Value::Object(Map::new()));
    }
}

/// Objects default to `{}`, so that the defaults of their own fields apply and each is written in one place; formats that the
/// API server does not know go.
fn tidy(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("default").is_some_and(Value::is_object) {
        object.insert("default".to_owned(), Value::Object(Map::new()));
    }
    if object.get("format").and_then(Value::as_str).is_some_and(|f| !matches!(f, "int32" | "int64" | "date-time")) {
        object.remove("format");
    }
    for key in ["properties", "items", "additionalProperties"] {
        match object.get_mut(key) {
            Some(Value::Object(properties)) if key == "properties" => properties.values_mut().for_each(tidy),
            Some(inner) => tidy(inner),
            None => {}
        }
    }
}

/// The reference of all fields in Markdown.
///
/// # Errors
/// See [`CrdError`].
pub fn markdown() -> Result<String, CrdError> {
    let crd = serde_json::to_value(crd()?)?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties");
    let mut out = String::from(
        "# Fields of ReplicatedMemcached\n\n\
         <!-- made by `make generate` from operator/src/api; a test fails when the two differ -->\n\n\
         `apiVersion: replicated-memcached.io/v1alpha1`, `kind: ReplicatedMemcached`, short name `rmc`. Every field has a \
         default: a resource with nothing but a name is a pair of 1 GiB each.\n",
    );
    for (part, title) in [("spec", "Spec"), ("status", "Status (written by the operator)")] {
        // writing to a String cannot fail
        let _ = write!(out, "\n## {title}\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n");
        if let Some(schema) = schema.and_then(|schema| schema.get(part)) {
            rows(&mut out, "", schema);
        }
    }
    Ok(out)
}

fn rows(out: &mut String, prefix: &str, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, field) in properties {
        let path = format!("{prefix}{name}");
        let default = match field.get("default") {
            None => "-".to_owned(),
            Some(Value::Object(_)) => "`{}`".to_owned(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
        };
        let meaning = field.get("description").and_then(Value::as_str).unwrap_or_default();
        let meaning = meaning.split("\n\n").next().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(out, "| `{path}` | {} | {default} | {meaning} |", kind(field));
        match field.get("items") {
            Some(items) => rows(out, &format!("{path}[]."), items),
            None => rows(out, &format!("{path}."), field),
        }
    }
}

fn kind(field: &Value) -> String {
    if let Some(values) = field.get("enum").and_then(Value::as_array) {
        return values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    }
    let name = field.get("type").and_then(Value::as_str).unwrap_or("any");
    match (name, field.get("items")) {
        ("array", Some(items)) => format!("list of {}", kind(items)),
        ("object", _) if field.get("additionalProperties").is_some() => "map of strings".to_owned(),
        _ => name.to_owned(),
    }
}
