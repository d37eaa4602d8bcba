//! What a worker expects next from memcached, in the order of what it sent.

use super::answer::To;
use super::meta::Passing;
use super::odd_keys::Odd;
use super::peek::Staling;
use super::stripes::Stripe;
use crate::clock::Version;
use crate::protocol::binary::{Status, Tag};
use crate::protocol::reply::Farewell;
use crate::replication::record::Expiry;

/// A client connection of one worker; a new one in the same slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// Slot.
    pub index: u32,
    /// Which connection in that slot.
    pub generation: u32,
}

impl SessionId {
    /// No client: what is expected for it is ours alone.
    pub(super) const NOBODY: Self = Self { index: u32::MAX, generation: 0 };
}

/// A write on its way: its stripe is held, and its record lies in the worker's queue of records.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Held until the answer is in the journal.
    pub stripe: Stripe,
    /// Hash of the key.
    pub hash: u64,
    /// The version given to it.
    pub version: Version,
    /// Bytes of its record.
    pub record: usize,
}

/// One answer to come, and what is made of it.
#[derive(Debug)]
pub struct Expected {
    /// Who gets it.
    pub session: SessionId,
    /// What it answers.
    pub what: What,
}

/// While a flush is swept: what a read that finds a flushed item answers instead.
#[derive(Debug)]
pub struct Hidden {
    /// Items not newer than this are hidden.
    pub flush: Version,
    /// The answer of a miss, with its line end.
    pub miss: Box<[u8]>,
}

/// The end of an item that `mg` touches or makes.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The new end by `T`.
    pub touch: Option<Expiry>,
    /// The end of an item that was not there.
    pub created: Expiry,
    /// Such an item has a binary key.
    pub binary: bool,
}

/// See [`Expected`].
#[derive(Debug)]
pub enum What {
    /// Hits up to `END`.
    Values {
        /// The CAS was asked for by us only.
        strip_cas: bool,
        /// Items not newer than this are hidden.
        hide: Option<Version>,
        /// The client's own answer ends here too.
        last: bool,
    },
    /// The hit of one key, up to `END`, for a client of the binary protocol.
    Value {
        /// What the answer carries.
        tag: Tag,
        /// As in `Values`.
        hide: Option<Version>,
        /// Whether there was a hit that counts.
        hit: bool,
        /// Where a miss is answered with the key.
        key: Option<Box<[u8]>>,
    },
    /// The hit of one key of a gat, up to `END`.
    Touched {
        /// The touch.
        hold: Hold,
        /// How it is answered.
        to: To,
        /// The CAS was asked for by us only.
        strip_cas: bool,
        /// As in `Values`.
        hide: Option<Version>,
        /// The client's own answer ends here too.
        last: bool,
        /// The new end.
        expiry: Expiry,
        /// Whether there was a hit that counts.
        hit: Option<Version>,
    },
    /// The item of a key that `get` cannot name, for a client of the binary protocol.
    Odd(Box<Odd>),
    /// The result of `ms`; the record in the queue is logged on success.
    Store {
        /// The write.
        hold: Hold,
        /// How it is answered.
        to: To,
    },
    /// The result of an append, prepend, incr or decr; a [`What::ReadBack`] follows.
    Change {
        /// Its version, if it is made.
        version: Version,
        /// How it is answered.
        to: To,
    },
    /// The result of setting the version of a counter once more: whatever it is.
    VersionSet,
    /// The version of a counter that was set late.
    Versioned {
        /// Its record only carries the key.
        hold: Hold,
    },
    /// The item after one or several such changes.
    ReadBack {
        /// The last of them; its record only carries the key.
        hold: Hold,
        /// The version of the first.
        first: Version,
    },
    /// The result of `mg T c`.
    Touch {
        /// The touch; its record only carries the key.
        hold: Hold,
        /// How it is answered.
        to: To,
        /// The new end.
        expiry: Expiry,
    },
    /// The result of `md`.
    Delete {
        /// The delete.
        hold: Hold,
        /// It stands for a set whose value was too large, and is answered as such whatever the result.
        too_large: bool,
        /// Only an item of a certain CAS is deleted.
        compared: bool,
        /// How it is answered.
        to: To,
    },
    /// The result of `mg` that changes nothing but, perhaps, who has the win token.
    MetaRead {
        /// Bytes in the queue of records, which carry the key.
        record: usize,
        /// What is not shown.
        hide: Option<Box<Hidden>>,
        /// How it is passed on.
        passing: Passing,
    },
    /// The result of `mg` with `T` or `N`.
    MetaTouch {
        /// The write; its record only carries the key.
        hold: Hold,
        /// When the item ends.
        ends: Box<Ends>,
        /// How it is passed on.
        passing: Passing,
    },
    /// The result of `ms`; the record in the queue is logged on success.
    MetaStore {
        /// The write.
        hold: Hold,
        /// memcached drops the item when it fails.
        drops: bool,
        /// How it is passed on.
        passing: Passing,
    },
    /// The item before a command that makes it stale, which is next.
    Peek,
    /// The result of such a command.
    MetaStale {
        /// The write; its record carries the key, and what `ms` stores.
        hold: Hold,
        /// Which one it is.
        staling: Staling,
        /// How it is passed on.
        passing: Passing,
    },
    /// The result of `md`.
    MetaDelete {
        /// The delete.
        hold: Hold,
        /// It was for the item of one CAS only.
        only_this: bool,
        /// How it is passed on.
        passing: Passing,
    },
    /// The result of a meta command that is followed by a [`What::ReadBack`].
    MetaChange {
        /// How it is passed on.
        passing: Passing,
        /// memcached itself was told to be quiet, and the answer of a `mn` follows in any case.
        maybe_silent: bool,
        /// The client is told that its opaque token is too long, whatever the result.
        refuse: bool,
    },
    /// The result of `me`.
    MetaDebug {
        /// Items not newer than this are hidden.
        hide: Option<Version>,
    },
    /// The result of giving back a win token that a read of ours took.
    GivenBack {
        /// Its stripe; the record only carries the key.
        hold: Hold,
        /// The item.
        item: Version,
        /// The token was not freed by anything else since.
        ours: bool,
    },
    /// The result of `me` before a write while a flush is swept.
    Inspect {
        /// Held alone; the record only carries the key.
        hold: Hold,
    },
    /// The result of `md C` after that.
    Purged,
    /// One line that the client gets as it is.
    Line {
        /// How it is answered.
        to: To,
    },
    /// The item of a key whose write was in flight when a connection was lost.
    Recovered {
        /// The write; its record carries the key.
        hold: Hold,
    },
    /// Nothing from memcached: with the command before, the win token is given back that this client waits for.
    Returned,
    /// Nothing from memcached: the client gets this in its turn.
    Local(&'static [u8]),
    /// The same with bytes made for the occasion.
    LocalText(Box<[u8]>),
    /// Nothing from memcached: this is the client's answer in its turn.
    Packet(Tag, Status),
    /// Nothing from memcached: the connection is closed in its turn.
    Close(Farewell),
}

impl What {
    /// Whether memcached has nothing to say to it.
    pub fn is_local(&self) -> bool {
        matches!(self, What::Returned | What::Local(_) | What::LocalText(_) | What::Packet(..) | What::Close(_))
    }

    /// The write, where it is one.
    pub fn hold(&self) -> Option<Hold> {
        match self {
            What::Touched { hold, .. }
            | What::Store { hold, .. }
            | What::ReadBack { hold, .. }
            | What::Versioned { hold }
            | What::Touch { hold, .. }
            | What::Delete { hold, .. }
            | What::Inspect { hold }
            | What::Recovered { hold }
            | What::MetaTouch { hold, .. }
            | What::MetaStore { hold, .. }
            | What::MetaDelete { hold, .. }
            | What::MetaStale { hold, .. }
            | What::GivenBack { hold, .. } => Some(*hold),
            What::Odd(odd) => odd.touch.map(|(hold, _)| hold),
            What::Values { .. }
            | What::Value { .. }
            | What::MetaRead { .. }
            | What::MetaChange { .. }
            | What::Peek
            | What::MetaDebug { .. }
            | What::Change { .. }
            | What::VersionSet
            | What::Purged
            | What::Returned
            | What::Line { .. }
            | What::Local(_)
            | What::LocalText(_)
            | What::Packet(..)
            | What::Close(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_takes_little() {
        assert!(size_of::<Expected>() <= 96, "{}", size_of::<Expected>());
    }
}
