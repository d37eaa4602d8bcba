//! What memcached knows of an item beside its value: stale, win token given away. How that gets to the other side.
//!
//! `ms` cannot bring it, so it follows the stored value, with the stripe still held. What is to be stale is stored with a version
//! that no item has and gets its own together with the mark: were it cut short in between, the item would pass for the peer's.

use std::sync::Arc;

use super::inbox::decode;
use super::record::{Marks, Record};
use super::replicator::{Op, Replicator};
use crate::clock::{Now, Version};
use crate::dataplane::item::Item;
use crate::dataplane::worker::UpstreamError;
use crate::protocol::encode;
use crate::protocol::response::Response;
use crate::rules::Rule;

/// Only an item that is stale or ends some day has a token to be taken: one that does neither ends so many seconds later
/// until its token is taken.
const INTERIM_S: i32 = 60;

/// The exptime to store an item with that gets these marks after.
pub(super) fn interim_exptime(marks: Marks, exptime: i32) -> i32 {
    if has_no_end(marks, exptime) { INTERIM_S } else { exptime }
}

/// The version to store an item with that gets these marks after.
pub(super) fn interim_version(marks: Marks, version: Version) -> Version {
    if marks.has(Marks::STALE) { version.not_yet() } else { version }
}

fn has_no_end(marks: Marks, exptime: i32) -> bool {
    marks.has(Marks::WON) && !marks.has(Marks::STALE) && exptime == 0
}

/// What is still to be done where both sides hold the same item, before its record is done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// It is not stale here, or a read of ours took its token: it becomes stale with a free token.
    stale: bool,
    /// Its token is given away.
    won: bool,
    /// It has no end.
    endless: bool,
}

impl Difference {
    /// `item` is what is here, `theirs` what the peer's item of the same version has.
    pub(super) fn of(item: &Item<'_>, theirs: Marks) -> Self {
        let stale_there = theirs.has(Marks::STALE) && !item.marks.has(Marks::STALE);
        let won_there = theirs.has(Marks::WON) && !item.marks.has(Marks::WON);
        Self {
            stale: stale_there || item.took_token && !won_there,
            // A token that the read just took is where it belongs.
            won: won_there && (stale_there || !item.took_token),
            endless: item.ttl < 0,
        }
    }

    pub(super) fn is_none(self) -> bool {
        !self.stale && !self.won
    }
}

impl Replicator {
    /// The value of the Set with this ticket is stored: whether marks follow.
    pub(super) fn send_marks(&mut self, ticket: u64, now: Now) -> bool {
        let Some(incoming) = self.apply.incoming(ticket) else { return false };
        let batch = Arc::clone(&incoming.batch);
        let (offset, len) = (incoming.offset, incoming.len);
        let Some(Record::Set { key, version, expiry, marks, .. }) = decode(&batch, offset, len) else { return false };
        let stale = marks.has(Marks::STALE) && !self.shared.broken(Rule::StaleTravels);
        let won = marks.has(Marks::WON);
        if stale {
            let interim = interim_version(marks, version);
            encode::become_stale(&mut self.upstream, key, interim.raw(), version.raw());
            self.ops.push_back(if won { Op::Ignored } else { Op::Mark(ticket) });
        }
        if won {
            let exptime = self.exptime(self.local_expiry(&batch, expiry), now);
            let end = has_no_end(marks, exptime).then_some(exptime);
            encode::take_token(&mut self.upstream, key, end);
            self.ops.push_back(Op::Mark(ticket));
        }
        stale || won
    }

    /// Makes the marks of an item those of the peer's; the record is done with when `last` is and that is done.
    pub(super) fn send_difference(&mut self, ticket: u64, key: &[u8], item: Version, what: Difference, last: bool) {
        let end = |last: bool| if last { Op::Mark(ticket) } else { Op::Ignored };
        if what.stale {
            encode::mark_stale(&mut self.upstream, key, item.raw());
            self.ops.push_back(end(last && !what.won));
        }
        if what.won {
            self.send_take_token(key, what.endless);
            self.ops.push_back(end(last));
        }
    }

    /// Takes the token of an item, whose stripe is held alone; the answer is still to be expected. One that is neither stale
    /// nor ends some day has no token to be taken before it ends: it does so for a moment. (A touch of one side and the
    /// token of the other may have crossed.)
    pub(super) fn send_take_token(&mut self, key: &[u8], endless: bool) {
        let interim = endless && !self.shared.broken(Rule::EndlessTokenTravels);
        if interim {
            encode::touch(&mut self.upstream, key, INTERIM_S, false);
            self.ops.push_back(Op::Ignored);
        }
        encode::take_token(&mut self.upstream, key, interim.then_some(0));
    }

    /// The marks of an item are set, or it has gone or changed, which is as good.
    pub(super) fn marked(&mut self, ticket: u64, response: &Response<'_>) -> Result<(), UpstreamError> {
        let Response::Meta(_) = response else { return Err(UpstreamError::Unexpected) };
        self.finish(ticket);
        Ok(())
    }
}
