//! PURE: which pod is given up since its node is.

use jiff::{SignedDuration, Timestamp};

use crate::pods::PodView;

/// A pod that is to go and does not: so long after its deletion was requested it is taken for lost.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// It may be lost: to be looked at again then.
    Later(Timestamp),
    /// It is removed without waiting for its node.
    Remove,
}

/// Decides. Only the taint manager's word that the node is gone counts, and only while the node is still not ready: whoever
/// deletes a pod by hand may have his reasons for a long farewell.
#[must_use]
pub fn decide(pod: &PodView, node_ready: bool, now: Timestamp) -> Verdict {
    let Some(deleted_at) = pod.deleted_at.filter(|_| pod.node_gone && !node_ready) else { return Verdict::Keep };
    match deleted_at.checked_add(PATIENCE) {
        Ok(due) if now < due => Verdict::Later(due),
        _ => Verdict::Remove,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_of_lost_nodes_are_removed_and_not_at_once() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let pod = PodView { deleted_at: Some(at(100)), node_gone: true, ..PodView::default() };
        assert_eq!(decide(&pod, false, at(105)), Verdict::Later(at(110)));
        assert_eq!(decide(&pod, false, at(110)), Verdict::Remove);
        assert_eq!(decide(&pod, true, at(200)), Verdict::Keep, "the node is back");
        assert_eq!(decide(&PodView { node_gone: false, ..pod.clone() }, false, at(200)), Verdict::Keep);
        assert_eq!(decide(&PodView { deleted_at: None, ..pod }, false, at(200)), Verdict::Keep);
    }
}
