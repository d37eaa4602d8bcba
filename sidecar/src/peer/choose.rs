//! PURE: which of several connections with the peer is used.
//!
//! Both sides may dial, so there may be two connections for a moment, and after a cut one of them may be dead without
//! this side knowing. Both sides must come to the same choice from what each of them sees.

use crate::clock::{ReplicaId, Version};
use crate::replication::message::{Hello, PROTOCOL, Refusal};

/// A link that has been silent for so long is no reason to refuse another one. Heartbeats come every second.
pub const ALIVE_MS: u64 = 2500;

/// One process of the other replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its random number.
    pub boot: u64,
    /// Its clock when it started.
    pub started: Version,
}

/// The link in use.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// Which side dialled it.
    pub dialled_by: ReplicaId,
    /// Whose it is; `None` before the greeting.
    pub process: Option<Process>,
    /// How long nothing came on it, in milliseconds.
    pub silent_ms: u64,
}

/// Whether a connection on which the other side has greeted is to be used, in the place of the current one. The refusal is
/// what it is told otherwise. `newest` is the latest process of the other replica that was seen.
///
/// # Errors
/// It is not to be used.
pub fn choose(
    own: ReplicaId,
    pair_id: &str,
    current: Option<&Current>,
    newest: Option<Process>,
    hello: &Hello,
) -> Result<(), Refusal> {
    if hello.protocol.0 > PROTOCOL.1 || hello.protocol.1 < PROTOCOL.0 {
        return Err(Refusal::Protocol);
    }
    if hello.pair_id != pair_id {
        return Err(Refusal::Pair);
    }
    if hello.replica == own {
        return Err(Refusal::SameReplica);
    }
    if newest.is_some_and(|newest| is_older(hello, newest)) {
        return Err(Refusal::Fenced);
    }
    let Some(current) = current else { return Ok(()) };
    let other_process = current.process.is_some_and(|process| process.boot != hello.boot);
    // A process that dials again has no use for what it dialled before. Of two directions the one that replica 0 dialled is
    // kept, unless it is dead.
    let dialled_again = current.dialled_by == hello.replica;
    if other_process || dialled_again || current.silent_ms > ALIVE_MS || hello.replica.get() == 0 {
        Ok(())
    } else {
        Err(Refusal::Duplicate)
    }
}

/// Whether a newer process has the replica id of the one that greets.
#[must_use]
pub fn is_older(hello: &Hello, newest: Process) -> bool {
    newest.boot != hello.boot && hello.started < newest.started
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u8) -> ReplicaId {
        ReplicaId::new(id).unwrap()
    }

    fn hello(replica: u8, boot: u64, started: u64) -> Hello {
        Hello {
            protocol: PROTOCOL,
            features: 0,
            pair_id: "pair".to_owned(),
            replica: id(replica),
            boot,
            started: Version::of_item(started),
            incarnation: 1,
            clock: Version::ZERO,
            wall_us: 0,
            mono_ms: 0,
            wanted: None,
            floor: Version::ZERO,
            flush: Version::ZERO,
            flush_due: (Version::ZERO, 0),
        }
    }

    fn process(boot: u64, started: u64) -> Process {
        Process { boot, started: Version::of_item(started) }
    }

    fn current(dialled_by: u8, process: Option<Process>, silent_ms: u64) -> Current {
        Current { dialled_by: id(dialled_by), process, silent_ms }
    }

    #[test]
    fn strangers_never_replace_a_link() {
        let dead = current(0, None, 60_000);
        let choose = |hello: &Hello| choose(id(0), "pair", Some(&dead), None, hello);
        let other = |change: fn(&mut Hello)| {
            let mut hello = hello(1, 7, 7);
            change(&mut hello);
            hello
        };
        assert_eq!(choose(&other(|h| h.protocol = (PROTOCOL.1 + 1, 99))), Err(Refusal::Protocol));
        assert_eq!(choose(&other(|h| h.pair_id = "other".to_owned())), Err(Refusal::Pair));
        assert_eq!(choose(&other(|h| h.replica = id(0))), Err(Refusal::SameReplica));
        assert_eq!(choose(&other(|_| {})), Ok(()));
    }

    #[test]
    fn when_both_dial_at_once_both_keep_the_one_that_replica_0_dialled() {
        // Replica 0 sees the other's connection beside its own, greeted on or not.
        for process in [None, Some(process(7, 7))] {
            let own = current(0, process, 0);
            assert_eq!(choose(id(0), "pair", Some(&own), None, &hello(1, 7, 7)), Err(Refusal::Duplicate));
        }
        // Replica 1 sees the same two.
        let own = current(1, None, 0);
        assert_eq!(choose(id(1), "pair", Some(&own), None, &hello(0, 6, 6)), Ok(()));
    }

    #[test]
    fn the_same_dialler_or_a_new_process_or_a_dead_link_is_replaced() {
        let greeted = Some(process(7, 7));
        let take = |current: Current, boot| choose(id(0), "pair", Some(&current), greeted, &hello(1, boot, boot));
        assert_eq!(take(current(1, greeted, 0), 7), Ok(()));
        assert_eq!(take(current(0, greeted, 0), 8), Ok(()));
        assert_eq!(take(current(0, greeted, ALIVE_MS + 1), 7), Ok(()));
        assert_eq!(take(current(0, greeted, ALIVE_MS), 7), Err(Refusal::Duplicate));
    }

    #[test]
    fn an_older_process_is_fenced_whatever_there_is() {
        let newest = Some(process(9, 9));
        for current in [None, Some(current(1, None, 60_000))] {
            assert_eq!(choose(id(0), "pair", current.as_ref(), newest, &hello(1, 7, 7)), Err(Refusal::Fenced));
        }
        assert_eq!(choose(id(0), "pair", None, newest, &hello(1, 9, 9)), Ok(()));
        assert_eq!(choose(id(0), "pair", None, newest, &hello(1, 10, 10)), Ok(()));
    }
}
