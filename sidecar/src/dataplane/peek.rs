//! Commands that make an item stale: what it is then follows from what it was, so it is read right before.
//!
//! A read after would take the win token that the next reader shall have.

use super::expect::{Hold, SessionId, What};
use super::item::item_of;
use super::meta::Passing;
use super::reply::{Batch, record_key};
use super::worker::{UpstreamError, Worker};
use crate::clock::{Now, Version};
use crate::protocol::response::{MetaCode, Response};
use crate::protocol::{MetaRequest, encode};
use crate::replication::record::{Expiry, Marks, Record};

/// The item before the command whose answer comes next.
#[derive(Debug, Default)]
pub(super) struct Peeked {
    version: Version,
    expiry: Expiry,
    marks: Marks,
    flags: u32,
    value: Vec<u8>,
    /// The read took the win token.
    took_token: bool,
    /// An earlier one did, and gives it back only behind the command.
    has_token: bool,
}

/// What makes it stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staling {
    /// `md I`, which may give it a new end.
    Mark(Option<Expiry>),
    /// `ms I C`: an older value than the one that is there is stored as a stale one.
    Older(u64),
}

impl Worker {
    /// The stripe is held: reads the item and sends the command behind.
    pub(super) fn peek_and(
        &mut self,
        id: SessionId,
        request: &MetaRequest<'_>,
        (key, hold): (&[u8], Hold),
        (record, staling): (&Record<'_>, Staling),
        passing: Passing,
    ) {
        encode::read_back(&mut self.upstream, key);
        self.expect(id, What::Peek);
        request.write_to(&mut self.upstream, Some(hold.version.raw()), false);
        let hold = self.record(hold, record);
        self.expect(id, What::MetaStale { hold, staling, passing });
    }

    pub(super) fn peeked(&mut self, response: &Response<'_>, now: Now) -> Result<(), UpstreamError> {
        let hash = self.expected.front().and_then(|next| next.what.hold()).map_or(0, |hold| hold.hash);
        let found = item_of(response)?;
        let has_token = found.as_ref().is_some_and(|item| self.has_token_of(item, hash));
        self.peeked = found.map(|item| self.found(item, hash)).map(|item| {
            let (version, expiry, marks, flags) = (item.version, item.expiry(now), item.marks, item.flags);
            Box::new(Peeked {
                version,
                expiry,
                marks,
                flags,
                value: item.value.to_vec(),
                took_token: item.took_token,
                has_token,
            })
        });
        Ok(())
    }

    pub(super) fn meta_staled(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        batch: &mut Batch<'_>,
        (hold, staling, passing): (Hold, Staling, Passing),
        now: Now,
    ) -> Result<(), UpstreamError> {
        let peeked = self.peeked.take();
        let queued = self.records.front(hold.record).to_vec();
        let key = record_key(&queued).ok_or(UpstreamError::Unexpected)?;
        let meta = match response {
            Response::Meta(meta) => meta,
            Response::Error { line } => {
                match line.starts_with(b"SERVER_ERROR") && matches!(staling, Staling::Older(_)) {
                    true => self.commit_delete(batch, hold),
                    false => self.leave(key, hold, peeked.as_deref()),
                }
                self.put_line(id, line);
                return Ok(());
            }
            _ => return Err(UpstreamError::Unexpected),
        };
        match (meta.code, peeked) {
            (MetaCode::Header, Some(peeked)) => self.stale(batch, (key, &queued), hold, staling, &peeked, now),
            // It came from nowhere: nobody else writes here meanwhile.
            (MetaCode::Header, None) => self.commit_delete(batch, hold),
            (MetaCode::NotFound | MetaCode::Exists | MetaCode::NotStored, peeked) => {
                self.leave(key, hold, peeked.as_deref());
            }
            _ => return Err(UpstreamError::Unexpected),
        }
        self.put_result(id, meta, &passing);
        Ok(())
    }

    /// The command was carried out: logs what the item is now.
    fn stale(
        &mut self,
        batch: &mut Batch<'_>,
        (key, queued): (&[u8], &[u8]),
        hold: Hold,
        staling: Staling,
        before: &Peeked,
        now: Now,
    ) {
        let version = hold.version;
        let mut bytes = Vec::with_capacity(before.value.len() + key.len() + 64);
        let binary = if before.marks.has(Marks::BINARY) { Marks::BINARY } else { Marks::NONE };
        match staling {
            Staling::Mark(touch) => {
                self.token_freed(hold.hash);
                let expiry = touch.unwrap_or(before.expiry);
                let (flags, marks, value) = (before.flags, Marks::STALE.and(binary), &before.value[..]);
                match expiry.is_past(now.mono_ms()) {
                    true => Record::Delete { key, version }.encode(&mut bytes),
                    false => Record::Set { key, version, flags, expiry, bulk: false, marks, value }.encode(&mut bytes),
                }
                self.commit(batch, hold, &bytes);
            }
            Staling::Older(compare) if before.version.raw() == compare => match Record::decode(queued) {
                Ok((Record::Set { expiry, .. }, _)) if expiry.is_past(now.mono_ms()) => {
                    Record::Delete { key, version }.encode(&mut bytes);
                    self.commit(batch, hold, &bytes);
                }
                _ => self.commit_front(batch, hold),
            },
            Staling::Older(_) => {
                // The end and the token are those of the item before.
                let won = before.marks.has(Marks::WON) && !before.has_token;
                let won = if won { Marks::WON } else { Marks::NONE };
                if let Ok((Record::Set { flags, marks, value, .. }, _)) = Record::decode(queued) {
                    let (expiry, marks) = (before.expiry, marks.and(Marks::STALE).and(won));
                    Record::Set { key, version, flags, expiry, bulk: false, marks, value }.encode(&mut bytes);
                }
                self.log(batch, hold, &bytes);
                match before.took_token || before.has_token {
                    true => self.give_back(key, hold, version),
                    false => self.release_front(hold),
                }
            }
        }
    }

    /// Nothing was changed, but for the token that the read may have taken.
    fn leave(&mut self, key: &[u8], hold: Hold, before: Option<&Peeked>) {
        match before.filter(|before| before.took_token) {
            Some(before) => self.give_back(key, hold, before.version),
            None => self.release_front(hold),
        }
    }
}
