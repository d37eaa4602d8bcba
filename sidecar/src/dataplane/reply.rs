//! Answers: from memcached's bytes to the journal and to the clients.

use std::sync::{Arc, MutexGuard};

use super::answer::{self, Outcome, To};
use super::expect::{Expected, Hold, SessionId, What};
use super::item::{Item, item_of};
use super::request::touch_record;
use super::session::{Inspected, State};
use super::values::Direct;
use super::worker::{UpstreamError, Worker};
use crate::clock::{Now, Version};
use crate::protocol::binary::{Tag, answer as packet};
use crate::protocol::encode;
use crate::protocol::response::{self, Meta, MetaCode, Response};
use crate::replication::journal::Journal;
use crate::replication::record::{Expiry, Record};
use crate::rules::Rule;
use crate::shared::Shared;

/// The journal, locked when a write of a batch needs it.
pub(super) struct Batch<'a> {
    shared: &'a Shared,
    journal: Option<MutexGuard<'a, Journal>>,
    /// It was needed.
    logged: bool,
}

impl Batch<'_> {
    pub(super) fn journal(&mut self) -> &mut Journal {
        self.logged = true;
        self.journal.get_or_insert_with(|| self.shared.journal())
    }

    /// Lets others have the journal before something that takes longer than a few copies.
    pub(super) fn pause(&mut self) {
        self.journal = None;
    }
}

/// The key of a record.
pub(super) fn record_key(record: &[u8]) -> Option<&[u8]> {
    Record::decode(record).ok().and_then(|(record, _)| record.key())
}

impl Worker {
    /// Bytes from memcached: returns how many are done with; the rest is to be given again with more behind it. What comes
    /// of long values may go to the clients by `direct`.
    ///
    /// # Errors
    /// The connection is of no use any more: call [`Worker::upstream_lost`].
    pub fn upstream_input(&mut self, bytes: &[u8], now: Now, direct: &mut dyn Direct) -> Result<usize, UpstreamError> {
        let shared = Arc::clone(&self.shared);
        let mut batch = Batch { shared: &shared, journal: None, logged: false };
        #[cfg(feature = "simulation")]
        for (hold, record) in std::mem::take(&mut self.late) {
            self.log(&mut batch, hold, &record);
        }
        let result = self.answers(bytes, &mut batch, now, direct);
        self.logged |= batch.logged;
        drop(batch);
        self.shared.served(now);
        self.publish_pending();
        self.resume_touched(now);
        result
    }

    fn answers(
        &mut self,
        bytes: &[u8],
        batch: &mut Batch<'_>,
        now: Now,
        direct: &mut dyn Direct,
    ) -> Result<usize, UpstreamError> {
        let mut at = self.pass_on(bytes, direct)?;
        let mut inside = false;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            // Inside of an answer it is known that its end has not come.
            let whole = if inside { 0 } else { self.as_it_came(rest, batch, direct)? };
            if whole > 0 {
                at += whole;
                continue;
            }
            let Some((response, len)) = response::parse(rest)? else {
                batch.pause();
                let begun = if rest.starts_with(b"VA ") {
                    self.begin_meta_value(rest, batch, direct)?
                } else {
                    self.begin_value(rest, direct)?
                };
                return Ok(at + begun);
            };
            inside = matches!(response, Response::Value(_));
            self.answer(&response, batch, now)?;
            at += len;
        }
    }

    fn resume_touched(&mut self, now: Now) {
        // The list may grow while it is walked.
        let mut index = 0;
        while let Some(id) = self.touched_at(index) {
            self.resume(id, now);
            index += 1;
        }
    }

    /// One answer of memcached.
    fn answer(&mut self, response: &Response<'_>, batch: &mut Batch<'_>, now: Now) -> Result<(), UpstreamError> {
        let Some(mut front) = self.expected.pop_front() else { return Err(UpstreamError::Unexpected) };
        let id = front.session;
        if let Response::Value(value) = response {
            let passed = self.value(id, &mut front.what, value);
            self.expected.push_front(front);
            return passed;
        }
        let (hold, inspects) = (front.what.hold(), matches!(front.what, What::Inspect { .. }));
        self.answering = id;
        let settled = self.settle(id, front.what, response, batch, now);
        if settled.is_err() {
            self.unsettled(id, hold, inspects);
            return settled;
        }
        self.answered(id);
        self.tell_local();
        Ok(())
    }

    /// The answer is none to this command. The connection is given up: who asked is to be told, and what became of a write
    /// is to be found out with its stripe held, as for all that is behind ([`Worker::upstream_lost`]).
    #[cold]
    fn unsettled(&mut self, id: SessionId, hold: Option<Hold>, inspects: bool) {
        let what = match hold {
            Some(hold) if inspects => What::Inspect { hold },
            Some(hold) => What::Recovered { hold },
            None => What::VersionSet,
        };
        self.expected.push_front(Expected { session: id, what });
    }

    /// What an answer other than a value means. With an error nothing is released or taken off the queue of records, but
    /// for that of a read.
    fn settle(
        &mut self,
        id: SessionId,
        what: What,
        response: &Response<'_>,
        batch: &mut Batch<'_>,
        now: Now,
    ) -> Result<(), UpstreamError> {
        match what {
            What::Values { last, .. } => self.end_of_values(id, response, last)?,
            What::Value { tag, hit, key, .. } => self.end_of_value(id, response, tag, hit, key.as_deref())?,
            What::Touched { hold, to: To::Binary(tag), expiry, hit, .. } => {
                let key = tag.returns_key() && hit.is_none();
                let key = key.then(|| record_key(self.records.front(hold.record)).map(Box::from)).flatten();
                self.end_of_value(id, response, tag, hit.is_some(), key.as_deref())?;
                self.touched(batch, hold, hit.map(|item| (item, false)), expiry, now);
            }
            What::Touched { hold, last, expiry, hit, .. } => {
                self.end_of_values(id, response, last)?;
                self.touched(batch, hold, hit.map(|item| (item, false)), expiry, now);
            }
            What::Odd(odd) => self.odd_answered(id, response, batch, &odd, now)?,
            What::Store { hold, to } => self.stored(id, response, batch, hold, to)?,
            What::Change { to, version } => {
                self.change_answered(response, to, version)?;
                self.awaits_read_back(id);
            }
            What::VersionSet => {}
            What::Versioned { hold } => self.versioned(hold, meta(response)?),
            What::ReadBack { hold, first } => {
                let item = item_of(response)?.map(|item| self.found(item, hold.hash));
                self.read_back(batch, (hold, first), item, now);
            }
            What::Touch { hold, to, expiry } => {
                let meta = meta(response)?;
                let hit = match (meta.code, meta.flags.cas()) {
                    (MetaCode::Header, Some(cas)) => Some(Version::of_item(cas)),
                    (MetaCode::Miss, _) => None,
                    _ => return Err(UpstreamError::Unexpected),
                };
                // A token that it took is not the client's.
                self.touched(batch, hold, hit.map(|item| (item, meta.flags.has(b'W'))), expiry, now);
                let touched = |item| Outcome::Touched(item, meta.flags.client_flags());
                self.respond(id, to, &hit.map_or(Outcome::NotFound, touched));
            }
            What::Delete { hold, too_large, compared, to } => {
                let outcome = match meta(response)?.code {
                    MetaCode::Header | MetaCode::NotFound if too_large => Outcome::TooLarge,
                    MetaCode::Header => Outcome::Deleted,
                    MetaCode::NotFound => Outcome::NotFound,
                    MetaCode::Exists if compared => Outcome::Exists,
                    _ => return Err(UpstreamError::Unexpected),
                };
                match outcome {
                    // It was meant for one item only, which is not here; the peer may hold a newer one.
                    Outcome::Exists | Outcome::NotFound if compared => self.release_front(hold),
                    _ => self.commit_front(batch, hold),
                }
                self.respond(id, to, &outcome);
            }
            What::MetaRead { record, hide, passing } => {
                let passed = self.meta_read_answered(id, response, batch, (record, hide, passing));
                self.records.consume(record);
                passed?;
            }
            What::MetaTouch { hold, ends, passing } => {
                self.meta_touched(id, response, batch, (hold, *ends, passing), now)?;
            }
            What::MetaStore { hold, drops, passing } => {
                self.meta_stored(id, response, batch, (hold, drops, passing))?;
            }
            What::Peek => self.peeked(response, now)?,
            What::MetaStale { hold, staling, passing } => {
                self.meta_staled(id, response, batch, (hold, staling, passing), now)?;
            }
            What::MetaDelete { hold, only_this, passing } => {
                self.meta_deleted(id, response, batch, (hold, only_this, passing))?;
            }
            What::MetaChange { passing, maybe_silent, refuse } => {
                self.meta_change_answered(response, (passing, maybe_silent, refuse))?;
                self.awaits_read_back(id);
            }
            What::MetaDebug { hide } => self.meta_debugged(id, response, hide)?,
            What::GivenBack { hold, .. } => {
                self.changes.returned();
                self.release_front(hold);
                if let Some(session) = self.session(id) {
                    session.giving_back = session.giving_back.saturating_sub(1);
                }
            }
            What::Inspect { hold } => self.inspected(id, meta(response)?, hold),
            What::Purged => {
                meta(response)?;
            }
            What::Line { to } => match response {
                Response::Line(line) => self.respond(id, to, &Outcome::Line(line)),
                Response::Error { line } => self.respond(id, to, &Outcome::Error(line)),
                _ => return Err(UpstreamError::Unexpected),
            },
            What::Recovered { hold } => {
                let item = item_of(response)?;
                self.recovered(batch, hold, item, now);
            }
            What::Local(_) | What::LocalText(_) | What::Packet(..) | What::Close(_) | What::Returned => {
                return Err(UpstreamError::Unexpected);
            }
        }
        Ok(())
    }

    /// What needs no answer of memcached and is now first has its turn.
    pub(super) fn tell_local(&mut self) {
        while self.expected.front().is_some_and(|e| e.what.is_local()) {
            if let Some(Expected { session, what }) = self.expected.pop_front() {
                self.answered(session);
                self.tell(session, what);
            }
        }
    }

    pub(super) fn answered(&mut self, id: SessionId) {
        if let Some(session) = self.session(id) {
            session.in_flight = session.in_flight.saturating_sub(1);
            session.values.saw(std::mem::take(&mut session.values_now));
            self.touch(id);
        }
    }

    pub(super) fn put(&mut self, id: SessionId, bytes: &[u8]) {
        if let Some(session) = self.session(id) {
            session.output.extend_from_slice(bytes);
        }
    }

    pub(super) fn respond(&mut self, id: SessionId, to: To, outcome: &Outcome<'_>) {
        if let Some(session) = self.session(id) {
            answer::write(&mut session.output, to, outcome);
        }
    }

    pub(super) fn put_line(&mut self, id: SessionId, line: &[u8]) {
        self.put(id, line);
        self.put(id, b"\r\n");
    }

    fn end_of_values(&mut self, id: SessionId, response: &Response<'_>, last: bool) -> Result<(), UpstreamError> {
        match response {
            Response::End if last => self.put(id, b"END\r\n"),
            Response::End => {}
            Response::Error { line } => self.put_line(id, line),
            _ => return Err(UpstreamError::Unexpected),
        }
        Ok(())
    }

    /// The end of the answer to a read of one key, in the binary protocol.
    fn end_of_value(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        tag: Tag,
        hit: bool,
        key: Option<&[u8]>,
    ) -> Result<(), UpstreamError> {
        let error = match response {
            Response::End => None,
            Response::Error { line } => Some(line),
            _ => return Err(UpstreamError::Unexpected),
        };
        match error {
            Some(line) => self.respond(id, To::Binary(tag), &Outcome::Error(line)),
            None if hit => {}
            None => {
                if let Some(session) = self.session(id) {
                    packet::miss(&mut session.output, tag, key.unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    fn stored(
        &mut self,
        id: SessionId,
        response: &Response<'_>,
        batch: &mut Batch<'_>,
        hold: Hold,
        to: To,
    ) -> Result<(), UpstreamError> {
        let outcome = match response {
            Response::Meta(meta) => match meta.code {
                MetaCode::Header => {
                    self.commit_front(batch, hold);
                    Outcome::Stored(hold.version)
                }
                code => {
                    let outcome = refusal(code)?;
                    self.release_front(hold);
                    outcome
                }
            },
            Response::Error { line } => {
                if line.starts_with(b"SERVER_ERROR") {
                    self.commit_delete(batch, hold);
                } else {
                    self.release_front(hold);
                }
                Outcome::Error(line)
            }
            _ => return Err(UpstreamError::Unexpected),
        };
        self.respond(id, to, &outcome);
        Ok(())
    }

    /// A write of which only the key is known for sure: what is there now is logged.
    fn recovered(&mut self, batch: &mut Batch<'_>, hold: Hold, item: Option<Item<'_>>, now: Now) {
        let Some(item) = item else { return self.commit_delete(batch, hold) };
        if item.lacks_version() {
            return self.version_again(batch, hold, &item, now);
        }
        let mut touch = Vec::new();
        if item.version != hold.version
            && let Some(key) = record_key(self.records.front(hold.record))
        {
            // It may have been a touch, which leaves the version.
            let expiry = item.expiry(now);
            Record::Touch { key, item: item.version, version: hold.version, expiry }.encode(&mut touch);
        }
        self.commit_item(batch, hold, &item, now);
        if !touch.is_empty() {
            self.log(batch, hold, &touch);
        }
    }

    pub(super) fn commit_item(&mut self, batch: &mut Batch<'_>, hold: Hold, item: &Item<'_>, now: Now) {
        let record = self.records.front(hold.record).to_vec();
        let Some(key) = record_key(&record) else { return self.release_front(hold) };
        self.log_item(batch, hold, (key, item.version), item, now);
        match item.took_token {
            true => self.give_back(key, hold, item.version),
            false => self.release_front(hold),
        }
    }

    /// Logs what was found of a key, with this version.
    pub(super) fn log_item(
        &mut self,
        batch: &mut Batch<'_>,
        hold: Hold,
        (key, version): (&[u8], Version),
        item: &Item<'_>,
        now: Now,
    ) {
        let Item { flags, marks, value, .. } = *item;
        let mut bytes = Vec::with_capacity(value.len() + key.len() + 64);
        Record::Set { key, version, flags, expiry: item.expiry(now), bulk: false, marks, value }.encode(&mut bytes);
        self.log(batch, hold, &bytes);
    }

    /// A touch is done; `hit`: the item, and whether its win token was taken by that.
    pub(super) fn touched(
        &mut self,
        batch: &mut Batch<'_>,
        hold: Hold,
        hit: Option<(Version, bool)>,
        expiry: Expiry,
        now: Now,
    ) {
        let record = self.records.front(hold.record).to_vec();
        match (hit, record_key(&record)) {
            (Some((item, took_token)), Some(key)) => {
                let mut bytes = Vec::with_capacity(record.len() + 16);
                touch_record(key, item, hold.version, expiry, now).encode(&mut bytes);
                self.log(batch, hold, &bytes);
                match took_token {
                    true => self.give_back(key, hold, item),
                    false => self.release_front(hold),
                }
            }
            _ => self.release_front(hold),
        }
    }

    fn inspected(&mut self, id: SessionId, meta: &Meta<'_>, hold: Hold) {
        let cas = meta.inspected().map(|(cas, _)| cas);
        let flushed = cas.filter(|cas| Version::of_item(*cas) <= self.shared.flush());
        let record = self.records.front(hold.record).to_vec();
        if let (Some(cas), Some(key)) = (flushed, record_key(&record)) {
            encode::delete(&mut self.upstream, key, Some(cas));
            self.expect(id, What::Purged);
        } else if let (true, Some(cas), Some(key)) = (meta.flags.has(b'W'), cas, record_key(&record)) {
            encode::mark_stale(&mut self.upstream, key, cas);
            self.expect(id, What::Purged);
        }
        self.records.consume(hold.record);
        self.versions.pop_front();
        match self.session(id).filter(|s| s.state == State::Inspecting) {
            Some(session) => {
                session.inspected = Some(Inspected { stripe: hold.stripe, cas: cas.filter(|_| flushed.is_none()) });
                session.state = State::Open;
            }
            None => self.release(hold.stripe),
        }
    }

    /// The record in the queue is what happened.
    pub(super) fn commit_front(&mut self, batch: &mut Batch<'_>, hold: Hold) {
        // The queue is not touched by a commit, so its bytes can be lent to it.
        let queue = std::mem::take(&mut self.records);
        self.log(batch, hold, queue.front(hold.record));
        self.records = queue;
        self.release_front(hold);
    }

    /// The key in the queue is gone, whatever was meant.
    pub(super) fn commit_delete(&mut self, batch: &mut Batch<'_>, hold: Hold) {
        if self.shared.broken(Rule::FailedSetIsDelete) {
            return self.release_front(hold);
        }
        let record = self.records.front(hold.record).to_vec();
        let Some(key) = record_key(&record) else { return self.release_front(hold) };
        let mut bytes = Vec::with_capacity(key.len() + 16);
        Record::Delete { key, version: hold.version }.encode(&mut bytes);
        self.commit(batch, hold, &bytes);
    }

    pub(super) fn commit(&mut self, batch: &mut Batch<'_>, hold: Hold, record: &[u8]) {
        self.log(batch, hold, record);
        self.release_front(hold);
    }

    pub(super) fn log(&mut self, batch: &mut Batch<'_>, hold: Hold, record: &[u8]) {
        #[cfg(feature = "simulation")]
        if self.shared.broken(Rule::LogBeforeRelease) && !self.late.iter().any(|(h, _)| h.version == hold.version) {
            self.late.push((hold, record.to_vec()));
            return;
        }
        batch.journal().commit_encoded(hold.hash, record);
    }

    /// The first write in flight is done with.
    pub(super) fn release_front(&mut self, hold: Hold) {
        self.records.consume(hold.record);
        self.versions.pop_front();
        self.release(hold.stripe);
    }
}

pub(super) fn refusal(code: MetaCode) -> Result<Outcome<'static>, UpstreamError> {
    Ok(match code {
        MetaCode::NotStored => Outcome::NotStored,
        MetaCode::Exists => Outcome::Exists,
        MetaCode::NotFound => Outcome::NotFound,
        _ => return Err(UpstreamError::Unexpected),
    })
}

pub(super) fn meta<'r, 'a>(response: &'r Response<'a>) -> Result<&'r Meta<'a>, UpstreamError> {
    match response {
        Response::Meta(meta) => Ok(meta),
        _ => Err(UpstreamError::Unexpected),
    }
}
