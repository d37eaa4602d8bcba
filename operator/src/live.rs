//! PURE: what is there, compared with what is wanted.

use kube::api::ObjectMeta;
use serde_json::Value;

use crate::api::GROUP;

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This resource's.
    Us,
    /// A resource of the same name that was deleted; the garbage collector is on its way.
    Predecessor,
    /// Somebody else's, as far as it is known whose.
    Other(String),
}

/// Whose the object with this metadata is, as seen by the resource with this name and UID.
#[must_use]
pub fn owner(metadata: &ObjectMeta, name: &str, uid: &str) -> Owner {
    let owners = metadata.owner_references.iter().flatten();
    match owners.into_iter().find(|owner| owner.controller == Some(true)) {
        Some(owner) if owner.uid == uid => Owner::Us,
        Some(owner)
            if owner.kind == "ReplicatedMemcached" && owner.name == name && owner.api_version.starts_with(GROUP) =>
        {
            Owner::Predecessor
        }
        Some(owner) => Owner::Other(format!("{} {}", owner.kind, owner.name)),
        None => Owner::Other("nobody".to_owned()),
    }
}

/// The first field that is not as it is wanted, or `None` where nothing has to be written: it is what was applied last (so
/// nothing was taken out since), and nobody has changed anything of it.
#[must_use]
pub fn difference(live: &Value, wanted: &Value) -> Option<String> {
    // Objects out of a list come without their kind.
    let fields = ["metadata", "spec", "data", "type", "automountServiceAccountToken"];
    let nothing = Value::Null;
    let different = |field: &str| {
        let wanted = wanted.get(field)?;
        differs(live.get(field).unwrap_or(&nothing), wanted).map(|rest| format!("{field}{rest}"))
    };
    fields.into_iter().find_map(different)
}

/// The first part of `wanted` that is not in `live`; what the API server adds to objects is nobody's business.
fn differs(live: &Value, wanted: &Value) -> Option<String> {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().find_map(|(key, value)| match live.get(key) {
            Some(live) => differs(live, value).map(|rest| format!(".{key}{rest}")),
            None if is_nothing(value) => None,
            None => Some(format!(".{key}")),
        }),
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => live
            .iter()
            .zip(wanted)
            .enumerate()
            .find_map(|(index, (live, wanted))| differs(live, wanted).map(|rest| format!("[{index}]{rest}"))),
        (live, wanted) if live == wanted || (live.is_null() && is_nothing(wanted)) => None,
        _ => Some(String::new()),
    }
}

/// What the API server leaves out.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::APPLIED;
    use serde_json::json;

    #[test]
    fn what_others_add_is_ignored_and_what_they_change_is_not() {
        let annotations = json!({APPLIED: "1"});
        let wanted = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"annotations": annotations}, "spec": {"ports": [{"port": 1}], "none": []}});
        let live = |port: u16, more: bool, applied: &str| {
            let mut ports = vec![json!({"port": port, "nodePort": 30000})];
            if more {
                ports.push(json!({"port": 9}));
            }
            json!({"metadata": {"annotations": {APPLIED: applied, "other": "x"}}, "spec": {"ports": ports}, "status": {}})
        };
        assert_eq!(difference(&live(1, false, "1"), &wanted), None);
        assert_eq!(difference(&live(2, false, "1"), &wanted).as_deref(), Some("spec.ports[0].port"));
        assert_eq!(difference(&live(1, true, "1"), &wanted).as_deref(), Some("spec.ports"));
        let applied = format!("metadata.annotations.{APPLIED}");
        assert_eq!(
            difference(&live(1, false, "0"), &wanted),
            Some(applied),
            "something was taken out of what is wanted"
        );
    }

    #[test]
    fn objects_of_others_are_known() {
        let object = |owner: Value| {
            let object = json!({"name": "web", "ownerReferences": owner});
            serde_json::from_value::<ObjectMeta>(object).unwrap()
        };
        let by = |kind: &str, uid: &str| json!([{"apiVersion": "replicated-memcached.io/v1alpha1", "kind": kind, "name": "web", "uid": uid, "controller": true}]);
        assert_eq!(owner(&object(by("ReplicatedMemcached", "1")), "web", "1"), Owner::Us);
        assert_eq!(owner(&object(by("ReplicatedMemcached", "0")), "web", "1"), Owner::Predecessor);
        assert_eq!(owner(&object(by("Other", "0")), "web", "1"), Owner::Other("Other web".to_owned()));
        assert_eq!(owner(&object(json!([])), "web", "1"), Owner::Other("nobody".to_owned()));
    }
}
