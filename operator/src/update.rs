//! PURE: whether a changed template is written.
//!
//! Once it is written, a pod that is lost comes back on it. So a change that is to wait is not written at all.

use std::collections::BTreeMap;

use crate::api::v1alpha1::UpdatePolicy;
use crate::names::{GENERATION, TEMPLATE, UPDATE};

/// What becomes of the StatefulSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is written as it is wanted.
    Write,
    /// What is there stays: the change waits for the annotation.
    Hold(Reason),
}

/// Why a change waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The update policy is OnDemand.
    OnDemand,
    /// The resource is as it was: another release of the operator wants another template.
    OperatorChanged,
}

/// Compares the annotations of the StatefulSet that is there (`None`: there is none) with those of the one that is wanted.
#[must_use]
pub fn decide(
    live: Option<&BTreeMap<String, String>>,
    wanted: &BTreeMap<String, String>,
    policy: UpdatePolicy,
) -> Decision {
    let Some(live) = live else { return Decision::Write };
    let same = |name: &str| live.get(name) == wanted.get(name);
    // An annotation that was removed again asks for nothing.
    let asked = wanted.contains_key(UPDATE) && !same(UPDATE);
    if same(TEMPLATE) || asked {
        return Decision::Write;
    }
    match (policy, same(GENERATION)) {
        (_, true) => Decision::Hold(Reason::OperatorChanged),
        (UpdatePolicy::OnDemand, false) => Decision::Hold(Reason::OnDemand),
        (UpdatePolicy::Automatic, false) => Decision::Write,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(template: &str, generation: &str, update: Option<&str>) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            (TEMPLATE.to_owned(), template.to_owned()),
            (GENERATION.to_owned(), generation.to_owned()),
        ]);
        all.extend(update.map(|value| (UPDATE.to_owned(), value.to_owned())));
        all
    }

    #[test]
    fn what_is_written_when() {
        let live = set("a", "1", Some("x"));
        let hold = Decision::Hold;
        let (auto, on_demand) = (UpdatePolicy::Automatic, UpdatePolicy::OnDemand);
        for (wanted, policy, expected) in [
            (set("a", "1", Some("x")), auto, Decision::Write),
            (set("a", "2", Some("x")), on_demand, Decision::Write),
            (set("b", "2", Some("x")), auto, Decision::Write),
            (set("b", "2", Some("x")), on_demand, hold(Reason::OnDemand)),
            (set("b", "1", Some("x")), auto, hold(Reason::OperatorChanged)),
            (set("b", "1", Some("x")), on_demand, hold(Reason::OperatorChanged)),
            (set("b", "1", Some("y")), auto, Decision::Write),
            (set("b", "2", Some("y")), on_demand, Decision::Write),
            (set("b", "1", None), auto, hold(Reason::OperatorChanged)),
        ] {
            assert_eq!(decide(Some(&live), &wanted, policy), expected, "{wanted:?} {policy:?}");
        }
        assert_eq!(decide(None, &set("a", "1", None), on_demand), Decision::Write);
    }
}
