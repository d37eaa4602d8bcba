//! PURE: which of several connections with the peer is used.
//!
//! Both sides may dial, so there may be two connections for a moment, and after a cut one of them may be dead without
//! this side knowing. Both sides must come to the same choice from what each of them sees.

use std::collections::VecDeque;

use crate::clock::{Now, ReplicaId};
use crate::replication::message::{Hello, Refusal};

/// A link that has been silent for so long is no reason to refuse another one. Heartbeats come every second.
pub const ALIVE_MS: u64 = 2500;
/// The most processes that were replaced which are remembered.
const REPLACED_MAX: usize = 64;

/// One process of the other replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its random number.
    pub boot: u64,
    /// When it started, by our monotonic clock, in milliseconds; it may have been before ours began.
    pub since_ms: i64,
}

impl Process {
    /// Who greets. Its clock may be wrong, so what counts is how long ago it started by that clock.
    #[must_use]
    pub fn new(hello: &Hello, now: Now) -> Self {
        let age_ms = hello.wall_us.saturating_sub(hello.started.micros()) / 1000;
        Self { boot: hello.boot, since_ms: (now.mono_ms() as i64).saturating_sub_unsigned(age_ms) }
    }
}

/// The processes of the other replica that there has been a link with.
#[derive(Clone, Debug, Default)]
pub struct Known {
    newest: Option<Process>,
    /// Those before it, the latest last.
    replaced: VecDeque<u64>,
}

impl Known {
    /// There is a link with this one.
    pub fn linked(&mut self, process: Process) {
        if let Some(before) = self.newest.replace(process).filter(|before| before.boot != process.boot) {
            if self.replaced.len() == REPLACED_MAX {
                self.replaced.pop_front();
            }
            self.replaced.push_back(before.boot);
        }
    }

    /// Whether a newer one has its place. One that was never seen here is judged by when it started.
    #[must_use]
    pub fn is_replaced(&self, process: Process) -> bool {
        let Some(newest) = self.newest.filter(|newest| newest.boot != process.boot) else { return false };
        self.replaced.contains(&process.boot) || process.since_ms < newest.since_ms
    }

    /// Whether there ever was one.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.newest.is_some()
    }
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
/// what it is told otherwise.
///
/// # Errors
/// It is not to be used.
pub fn choose(
    own: ReplicaId,
    pair_id: &str,
    current: Option<&Current>,
    known: &Known,
    hello: &Hello,
    now: Now,
) -> Result<(), Refusal> {
    if !hello.is_compatible() {
        return Err(Refusal::Protocol);
    }
    if hello.pair_id != pair_id {
        return Err(Refusal::Pair);
    }
    if hello.replica == own {
        return Err(Refusal::SameReplica);
    }
    if known.is_replaced(Process::new(hello, now)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Version;
    use crate::replication::message::{MARKS, PROTOCOL};

    const NOW: Now = Now { mono_us: 1_000_000_000, wall_us: 0 };

    fn id(id: u8) -> ReplicaId {
        ReplicaId::new(id).unwrap()
    }

    /// One that has run for `age_s` seconds.
    fn hello(replica: u8, boot: u64, age_s: u64) -> Hello {
        let wall_us = 1_700_000_000_000_000;
        Hello {
            protocol: PROTOCOL,
            features: MARKS,
            pair_id: "pair".to_owned(),
            replica: id(replica),
            boot,
            started: Version::of_item((wall_us - age_s * 1_000_000) << 11),
            incarnation: 1,
            clock: Version::ZERO,
            wall_us,
            mono_ms: 0,
            wanted: None,
            floor: Version::ZERO,
            flush: Version::ZERO,
            flush_due: (Version::ZERO, 0),
        }
    }

    fn process(boot: u64, age_s: u64) -> Process {
        Process::new(&hello(1, boot, age_s), NOW)
    }

    fn known(processes: &[Process]) -> Known {
        let mut known = Known::default();
        processes.iter().for_each(|process| known.linked(*process));
        known
    }

    fn current(dialled_by: u8, process: Option<Process>, silent_ms: u64) -> Current {
        Current { dialled_by: id(dialled_by), process, silent_ms }
    }

    #[test]
    fn strangers_never_replace_a_link() {
        let dead = current(0, None, 60_000);
        let choose = |hello: &Hello| choose(id(0), "pair", Some(&dead), &Known::default(), hello, NOW);
        let other = |change: fn(&mut Hello)| {
            let mut hello = hello(1, 7, 7);
            change(&mut hello);
            hello
        };
        assert_eq!(choose(&other(|h| h.protocol = (PROTOCOL.1 + 1, 99))), Err(Refusal::Protocol));
        assert_eq!(choose(&other(|h| h.features = 0)), Err(Refusal::Protocol));
        assert_eq!(choose(&other(|h| h.features = u64::MAX)), choose(&other(|_| {})));
        assert_eq!(choose(&other(|h| h.pair_id = "other".to_owned())), Err(Refusal::Pair));
        assert_eq!(choose(&other(|h| h.replica = id(0))), Err(Refusal::SameReplica));
        assert_eq!(choose(&other(|_| {})), Ok(()));
    }

    #[test]
    fn when_both_dial_at_once_both_keep_the_one_that_replica_0_dialled() {
        // Replica 0 sees the other's connection beside its own, greeted on or not.
        for process in [None, Some(process(7, 7))] {
            let own = current(0, process, 0);
            let choice = choose(id(0), "pair", Some(&own), &Known::default(), &hello(1, 7, 7), NOW);
            assert_eq!(choice, Err(Refusal::Duplicate));
        }
        // Replica 1 sees the same two.
        let own = current(1, None, 0);
        assert_eq!(choose(id(1), "pair", Some(&own), &Known::default(), &hello(0, 6, 6), NOW), Ok(()));
    }

    #[test]
    fn the_same_dialler_or_a_new_process_or_a_dead_link_is_replaced() {
        let greeted = Some(process(7, 7));
        let known = known(&[process(7, 7)]);
        let take = |current: Current, boot| {
            let age_s = if boot == 7 { 7 } else { 1 };
            choose(id(0), "pair", Some(&current), &known, &hello(1, boot, age_s), NOW)
        };
        assert_eq!(take(current(1, greeted, 0), 7), Ok(()));
        assert_eq!(take(current(0, greeted, 0), 8), Ok(()));
        assert_eq!(take(current(0, greeted, ALIVE_MS + 1), 7), Ok(()));
        assert_eq!(take(current(0, greeted, ALIVE_MS), 7), Err(Refusal::Duplicate));
    }

    #[test]
    fn an_older_process_is_fenced_whatever_there_is() {
        let known = known(&[process(9, 60)]);
        for current in [None, Some(current(1, None, 60_000))] {
            let choose = |hello: &Hello| choose(id(0), "pair", current.as_ref(), &known, hello, NOW);
            assert_eq!(choose(&hello(1, 7, 61)), Err(Refusal::Fenced));
        }
        assert_eq!(choose(id(0), "pair", None, &known, &hello(1, 9, 60), NOW), Ok(()));
        assert_eq!(choose(id(0), "pair", None, &known, &hello(1, 10, 59), NOW), Ok(()));
    }

    #[test]
    fn who_was_replaced_stays_so_and_a_clock_that_is_wrong_fences_nobody() {
        // The node of the new process is an hour behind.
        let mut new = hello(1, 8, 1);
        (new.wall_us, new.started) =
            (new.wall_us - 3_600_000_000, Version::of_item(new.started.raw() - (3_600_000_000 << 11)));
        let mut known = known(&[process(7, 60)]);
        assert_eq!(choose(id(0), "pair", None, &known, &new, NOW), Ok(()));
        known.linked(Process::new(&new, NOW));
        // The clock of the old one was set forward meanwhile, so that it seems to be young.
        assert_eq!(choose(id(0), "pair", None, &known, &hello(1, 7, 0), NOW), Err(Refusal::Fenced));
        // What is remembered is bounded.
        (100..200).for_each(|boot| known.linked(process(boot, 0)));
        assert_eq!((known.replaced.len(), known.replaced.back()), (REPLACED_MAX, Some(&198)));
    }
}
