//! PURE: which pod is replaced next, and how.

use sidecar::control::protocol::Status;

use crate::pods::PodView;
use crate::synced;

/// The phase of a sidecar that knows of a newer process with its replica id.
const FENCED: &str = "fenced";

/// What is done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every pod is of the wanted revision.
    Done,
    /// Not now.
    Wait(Wait),
    /// By the eviction API, which respects every budget.
    Evict(usize),
    /// By a delete: it holds nothing and serves nobody, and the budget would keep it for ever.
    Delete(usize),
    /// By a delete: it takes itself for replaced, so it never serves again. The other one serves.
    Discard(usize),
}

/// Why nothing is done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// This pod is not there, or on its way out or in.
    Pod(usize),
    /// The replicas do not hold the same.
    NotSynced,
}

/// What is known of both replicas.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Their pods.
    pub pods: [Option<&'a PodView>; 2],
    /// What their sidecars say.
    pub statuses: [Option<&'a Status>; 2],
    /// The revision that they are to have.
    pub revision: &'a str,
}

impl<'a> Pair<'a> {
    fn pod(&self, index: usize) -> Option<&'a PodView> {
        self.pods.get(index).copied().flatten()
    }

    fn status(&self, index: usize) -> Option<&'a Status> {
        self.statuses.get(index).copied().flatten()
    }

    /// Its pod is ready, and its sidecar says the same.
    fn serves(&self, index: usize) -> bool {
        self.pod(index).is_some_and(|pod| pod.ready && pod.deleted_at.is_none())
            && self.status(index).is_some_and(|status| status.ready)
    }
}

/// Decides. A pod that holds anything goes only while the other one holds the same and serves.
#[must_use]
pub fn decide(pair: &Pair<'_>) -> Step {
    let outdated = |pod: &PodView| pod.revision != pair.revision;
    // What was never of use does not keep anybody waiting, whatever the other one is like.
    let useless = |pod: &PodView, status| outdated(pod) && pod.deleted_at.is_none() && is_useless(pod, status);
    if let Some(index) = (0..2).find(|i| pair.pod(*i).is_some_and(|pod| useless(pod, pair.status(*i)))) {
        return Step::Delete(index);
    }
    let fenced = |index| {
        pair.pod(index).is_some_and(|pod| pod.deleted_at.is_none())
            && pair.status(index).is_some_and(|status| status.phase == FENCED)
    };
    if let Some(index) = (0..2).find(|i| fenced(*i) && pair.serves(1 - i)) {
        return Step::Discard(index);
    }
    // The one that serves nobody first, then the second one: clients that were started first know the first one.
    let candidates = (0..2).filter_map(|i| pair.pod(i).filter(|pod| outdated(pod)).map(|pod| (i, pod)));
    let Some((index, pod)) = candidates.min_by_key(|(i, pod)| (pod.ready, 1 - i)) else { return Step::Done };
    // What broke may be what the change is to mend, so nobody waits for it to get well.
    if is_broken(pod) && pair.serves(1 - index) {
        return Step::Evict(index);
    }
    for (other, pod) in pair.pods.iter().enumerate() {
        match pod {
            Some(pod) if pod.deleted_at.is_none() && pod.ready => {}
            _ => return Step::Wait(Wait::Pod(other)),
        }
    }
    match synced::check(pair.statuses) {
        Ok(()) => Step::Evict(index),
        Err(_) => Step::Wait(Wait::NotSynced),
    }
}

/// It serves nobody, and Kubernetes has tried in vain to start it again, such as one that needs more memory than it may have.
fn is_broken(pod: &PodView) -> bool {
    !pod.ready && pod.deleted_at.is_none() && pod.waiting.is_some()
}

/// It never served, and it holds nothing: memcached does not run, or nobody ever wrote to it, or it is empty.
fn is_useless(pod: &PodView, status: Option<&Status>) -> bool {
    let empty = status.is_some_and(|status| status.items == 0 && !status.synced);
    !pod.ready && !pod.was_ready && (!pod.memcached_runs || !pod.sidecar_ran || empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(revision: &str) -> PodView {
        PodView {
            revision: revision.to_owned(),
            ready: true,
            was_ready: true,
            memcached_runs: true,
            sidecar_ran: true,
            ..PodView::default()
        }
    }

    fn step(pods: [Option<&PodView>; 2], statuses: &[Status; 2]) -> Step {
        decide(&Pair { pods, statuses: [Some(&statuses[0]), Some(&statuses[1])], revision: "new" })
    }

    #[test]
    fn one_after_the_other_and_only_in_sync() {
        let (old, new) = (pod("old"), pod("new"));
        let synced = synced::tests::pair();
        assert_eq!(step([Some(&old), Some(&old)], &synced), Step::Evict(1));
        assert_eq!(step([Some(&old), None], &synced), Step::Wait(Wait::Pod(1)));
        let starting = PodView { ready: false, was_ready: false, ..pod("new") };
        assert_eq!(step([Some(&old), Some(&starting)], &synced), Step::Wait(Wait::Pod(1)));
        let mut filling = synced::tests::pair();
        filling[1].synced = false;
        assert_eq!(step([Some(&old), Some(&new)], &filling), Step::Wait(Wait::NotSynced));
        assert_eq!(step([Some(&old), Some(&new)], &synced), Step::Evict(0));
        assert_eq!(step([Some(&new), Some(&new)], &synced), Step::Done);
    }

    #[test]
    fn while_one_goes_the_other_stays() {
        let going = PodView { deleted_at: Some(jiff::Timestamp::UNIX_EPOCH), ..pod("old") };
        let synced = synced::tests::pair();
        assert_eq!(step([Some(&pod("old")), Some(&going)], &synced), Step::Wait(Wait::Pod(1)));
        assert_eq!(step([Some(&going), Some(&pod("old"))], &synced), Step::Wait(Wait::Pod(0)));
    }

    #[test]
    fn a_bad_image_does_not_stop_the_roll_that_mends_it() {
        let bad = PodView { ready: false, was_ready: false, sidecar_ran: false, ..pod("bad") };
        let old = pod("old");
        let pair = Pair { pods: [Some(&old), Some(&bad)], statuses: [None, None], revision: "new" };
        assert_eq!(decide(&pair), Step::Delete(1));
        // It is of the wanted revision: it waits for a better one.
        let pair = Pair { pods: [Some(&old), Some(&bad)], statuses: [None, None], revision: "bad" };
        assert_eq!(decide(&pair), Step::Wait(Wait::Pod(1)));
    }

    #[test]
    fn what_may_hold_something_is_never_deleted() {
        let synced = synced::tests::pair();
        let crashing = PodView { ready: false, was_ready: false, ..pod("bad") };
        let pair =
            Pair { pods: [Some(&pod("old")), Some(&crashing)], statuses: [Some(&synced[0]), None], revision: "new" };
        assert_eq!(decide(&pair), Step::Wait(Wait::Pod(1)), "memcached runs, and nobody knows what is in it");
        let empty = Status { items: 0, ..Status::default() };
        let pair = Pair { statuses: [Some(&synced[0]), Some(&empty)], ..pair };
        assert_eq!(decide(&pair), Step::Delete(1));
        let restarting = PodView { was_ready: true, memcached_runs: false, ..crashing.clone() };
        let pair = Pair { pods: [Some(&pod("old")), Some(&restarting)], ..pair };
        assert_eq!(decide(&pair), Step::Wait(Wait::Pod(1)));
    }

    #[test]
    fn what_crashes_again_and_again_does_not_stop_the_roll_that_mends_it() {
        let synced = synced::tests::pair();
        let looping = PodView { ready: false, waiting: Some("CrashLoopBackOff".to_owned()), ..pod("old") };
        let old = pod("old");
        let pair =
            |first| Pair { pods: [Some(first), Some(&looping)], statuses: [Some(&synced[0]), None], revision: "new" };
        assert_eq!(decide(&pair(&old)), Step::Evict(1));
        assert_eq!(decide(&Pair { revision: "old", ..pair(&old) }), Step::Done, "nothing is to be mended");
        // The other one must serve, by its own word, too.
        let gone = PodView { ready: false, ..pod("old") };
        assert!(matches!(decide(&pair(&gone)), Step::Wait(_)));
        assert!(matches!(decide(&Pair { statuses: [None, None], ..pair(&old) }), Step::Wait(_)));
        let unready = Status { ready: false, ..synced[0].clone() };
        assert!(matches!(decide(&Pair { statuses: [Some(&unready), None], ..pair(&old) }), Step::Wait(_)));
    }

    #[test]
    fn one_that_takes_itself_for_replaced_is_replaced() {
        let mut statuses = synced::tests::pair();
        statuses[1] = Status { ready: false, phase: FENCED.to_owned(), ..statuses[1].clone() };
        let fenced = PodView { ready: false, ..pod("new") };
        let new = pod("new");
        assert_eq!(step([Some(&new), Some(&fenced)], &statuses), Step::Discard(1));
        let going = PodView { deleted_at: Some(jiff::Timestamp::UNIX_EPOCH), ..fenced.clone() };
        assert_eq!(step([Some(&new), Some(&going)], &statuses), Step::Done);
        assert_eq!(step([None, Some(&fenced)], &statuses), Step::Done, "nobody else holds anything");
        // The other one, on its way out: the same.
        let going = PodView { deleted_at: Some(jiff::Timestamp::UNIX_EPOCH), ..pod("new") };
        assert_eq!(step([Some(&going), Some(&fenced)], &statuses), Step::Done);
    }
}
