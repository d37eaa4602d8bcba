//! PURE: whether both replicas hold the same.

use sidecar::control::protocol::Status;

/// Why the two cannot be said to hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSynced {
    /// This replica does not answer.
    NoAnswer(usize),
    /// The first sync of this replica's content is not complete.
    Filling(usize),
    /// This replica has no link with the other process.
    NoLink(usize),
    /// This replica is bringing the other one what it lacks.
    Resyncing(usize),
}

/// Whether each holds what the other holds, but for what is on its way. Both must speak of these very processes and contents.
///
/// # Errors
/// Why not.
pub fn check(statuses: [Option<&Status>; 2]) -> Result<(), NotSynced> {
    let [a, b] = statuses;
    let a = a.ok_or(NotSynced::NoAnswer(0))?;
    let b = b.ok_or(NotSynced::NoAnswer(1))?;
    for (index, status) in [a, b].into_iter().enumerate() {
        if !status.synced {
            return Err(NotSynced::Filling(index));
        }
    }
    for (index, (own, other)) in [(a, b), (b, a)].into_iter().enumerate() {
        let linked = own.linked.filter(|linked| linked.boot == other.boot && linked.incarnation == other.incarnation);
        match linked {
            None => return Err(NotSynced::NoLink(index)),
            Some(linked) if !linked.filled => return Err(NotSynced::Resyncing(index)),
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use sidecar::control::protocol::{Id, Linked};

    use super::*;

    /// A pair in sync.
    pub(crate) fn pair() -> [Status; 2] {
        let status = |own: u64, other: u64| Status {
            boot: Id(own),
            incarnation: Id(own * 10),
            ready: true,
            synced: true,
            phase: "ready".to_owned(),
            linked: Some(Linked { boot: Id(other), incarnation: Id(other * 10), filled: true }),
            ..Status::default()
        };
        [status(1, 2), status(2, 1)]
    }

    fn changed(change: impl Fn(&mut [Status; 2])) -> Result<(), NotSynced> {
        let mut pair = pair();
        change(&mut pair);
        check([Some(&pair[0]), Some(&pair[1])])
    }

    #[test]
    fn both_must_say_so_of_each_other() {
        assert_eq!(changed(|_| {}), Ok(()));
        assert_eq!(changed(|pair| pair[0].synced = false), Err(NotSynced::Filling(0)));
        assert_eq!(changed(|pair| pair[1].linked = None), Err(NotSynced::NoLink(1)));
        assert_eq!(changed(|pair| pair[1].boot = Id(7)), Err(NotSynced::NoLink(0)), "an earlier process");
        assert_eq!(changed(|pair| pair[0].incarnation = Id(7)), Err(NotSynced::NoLink(1)), "an earlier content");
        let filling = |pair: &mut [Status; 2]| {
            if let Some(linked) = &mut pair[0].linked {
                linked.filled = false;
            }
        };
        assert_eq!(changed(filling), Err(NotSynced::Resyncing(0)));
        let pair = pair();
        assert_eq!(check([Some(&pair[0]), None]), Err(NotSynced::NoAnswer(1)));
    }
}
