//! PURE: what is there, compared with what is wanted.

use kube::api::DynamicObject;
use serde_json::Value;

use crate::api::GROUP;
use crate::names::APPLIED;

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

/// Whose `object` is, as seen by the resource with this name and UID.
#[must_use]
pub fn owner(object: &DynamicObject, name: &str, uid: &str) -> Owner {
    let owners = object.metadata.owner_references.iter().flatten();
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

/// Whether nothing has to be written: it is what was applied last (so nothing was taken out since), and nobody has changed
/// anything of it.
#[must_use]
pub fn is_as_wanted(live: &Value, wanted: &Value) -> bool {
    let applied = |object: &Value| object["metadata"]["annotations"][APPLIED].as_str().map(str::to_owned);
    applied(live) == applied(wanted) && covers(live, wanted)
}

/// Whether everything of `wanted` is in `live`; what the API server adds to objects is nobody's business.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| live.get(key).map_or_else(|| is_nothing(value), |live| covers(live, value))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
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
    use serde_json::json;

    #[test]
    fn what_others_add_is_ignored_and_what_they_change_is_not() {
        let annotations = json!({APPLIED: "1"});
        let wanted = json!({"metadata": {"annotations": annotations}, "spec": {"ports": [{"port": 1}], "none": []}});
        let live = |port: u16, more: bool, applied: &str| {
            let mut ports = vec![json!({"port": port, "nodePort": 30000})];
            if more {
                ports.push(json!({"port": 9}));
            }
            json!({"metadata": {"annotations": {APPLIED: applied, "other": "x"}}, "spec": {"ports": ports}, "status": {}})
        };
        assert!(is_as_wanted(&live(1, false, "1"), &wanted));
        assert!(!is_as_wanted(&live(2, false, "1"), &wanted), "a changed field");
        assert!(!is_as_wanted(&live(1, true, "1"), &wanted), "an added entry");
        assert!(!is_as_wanted(&live(1, false, "0"), &wanted), "something was taken out of what is wanted");
    }

    #[test]
    fn objects_of_others_are_known() {
        let object = |owner: Value| {
            let object =
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "ownerReferences": owner}});
            serde_json::from_value::<DynamicObject>(object).unwrap()
        };
        let by = |kind: &str, uid: &str| json!([{"apiVersion": "replicated-memcached.io/v1alpha1", "kind": kind, "name": "web", "uid": uid, "controller": true}]);
        assert_eq!(owner(&object(by("ReplicatedMemcached", "1")), "web", "1"), Owner::Us);
        assert_eq!(owner(&object(by("ReplicatedMemcached", "0")), "web", "1"), Owner::Predecessor);
        assert_eq!(owner(&object(by("Other", "0")), "web", "1"), Owner::Other("Other web".to_owned()));
        assert_eq!(owner(&object(json!([])), "web", "1"), Owner::Other("nobody".to_owned()));
    }
}
