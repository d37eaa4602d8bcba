//! Appends and counters: only memcached knows what becomes of the item, so it is read back right behind and logged.
//!
//! A change of the same key right behind, before the read-back is on its way, takes it back, and its own serves both: a counter
//! that everybody counts is read back once for many changes. Nobody is told of a change before the read-back is in the journal.

use super::answer::{self, Outcome, To};
use super::expect::{Expected, Hold, SessionId, What};
use super::item::Item;
use super::reply::{Batch, record_key, refusal};
use super::worker::{UpstreamError, Worker};
use crate::clock::{Now, Version};
use crate::protocol::encode;
use crate::protocol::response::{Meta, MetaCode, Response};
use crate::replication::record::{Marks, Record};
use crate::rules::Rule;

/// What memcached answered to changes of an item; of several the greatest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// None was made: the item is what it was.
    #[default]
    Refused,
    /// One failed inside memcached, which may have dropped the item.
    Failed,
    /// One was made.
    Made,
}

/// The changes between those that are answered and their read-back.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The answers to those that memcached has made or not, one behind the other.
    answers: Vec<u8>,
    /// Who gets them, and where each ends.
    waiting: Vec<(SessionId, usize)>,
    /// What became of them.
    became: Change,
    /// The read-back at the end of the upstream buffer.
    unsent: Option<Unsent>,
    /// Win tokens on their way back.
    returning: usize,
}

/// A read-back that can still be taken back.
#[derive(Clone, Copy, Debug)]
struct Unsent {
    /// Where its bytes begin.
    start: usize,
    /// Where they end.
    end: usize,
}

impl Changes {
    /// The answer to the next change is to be appended here.
    pub(super) fn answers(&mut self) -> &mut Vec<u8> {
        &mut self.answers
    }

    /// Notes what became of a change.
    pub(super) fn became(&mut self, change: Change) {
        self.became = self.became.max(change);
    }

    /// A win token is back.
    pub(super) fn returned(&mut self) {
        self.returning = self.returning.saturating_sub(1);
    }

    /// What is in the upstream buffer is on its way.
    pub(super) fn sent(&mut self) {
        self.unsent = None;
    }

    /// The connection is lost: returns who waits for an answer.
    pub(super) fn lost(&mut self) -> Vec<(SessionId, usize)> {
        std::mem::take(self).waiting
    }
}

impl Worker {
    /// To be called before a change is written to the upstream buffer, with its stripe held: returns the version of the
    /// first change that [`Worker::end_change`] reads back.
    pub(super) fn begin_change(&mut self, key: &[u8], hold: Hold) -> Version {
        let Some(unsent) = self.changes.unsent.take().filter(|unsent| unsent.end == self.upstream.len()) else {
            return hold.version;
        };
        let (before, first) = match self.expected.back() {
            Some(Expected { what: What::ReadBack { hold, first }, .. }) => (*hold, *first),
            _ => return hold.version,
        };
        if before.hash != hold.hash || record_key(self.records.back(before.record)) != Some(key) {
            return hold.version;
        }
        self.upstream.truncate(unsent.start);
        self.records.take_back(before.record);
        // Whose it was goes on waiting for an answer.
        self.expected.pop_back();
        // The older version stays for both: nothing newer counts as logged before they are.
        self.versions.pop_back();
        self.release(before.stripe);
        first
    }

    /// The change is in the upstream buffer: the read-back goes right behind it. Before that, the version of a counter is set
    /// once more (`version_set`), since memcached may lose it: behind each change, so that others hardly ever read
    /// memcached's own number.
    pub(super) fn end_change(&mut self, id: SessionId, key: &[u8], hold: Hold, first: Version, version_set: bool) {
        if version_set {
            encode::set_version(&mut self.upstream, key, hold.version.raw(), None);
            self.expect(SessionId::NOBODY, What::VersionSet);
        }
        let start = self.upstream.len();
        encode::read_back(&mut self.upstream, key);
        let hold = self.record(hold, &Record::Delete { key, version: hold.version });
        self.expect(id, What::ReadBack { hold, first });
        self.changes.unsent = Some(Unsent { start, end: self.upstream.len() });
    }

    /// The answer to a change, in the words of a classic command or a packet.
    pub(super) fn change_answered(
        &mut self,
        response: &Response<'_>,
        to: To,
        version: Version,
    ) -> Result<(), UpstreamError> {
        let (became, outcome) = match response {
            Response::Meta(Meta { code: MetaCode::Value, value: Some(number), .. }) => {
                (Change::Made, Outcome::Number(number, version))
            }
            Response::Meta(Meta { code: MetaCode::Header, .. }) => (Change::Made, Outcome::Stored(version)),
            Response::Meta(meta) => (Change::Refused, refusal(meta.code)?),
            Response::Error { line } => (change_of_error(line), Outcome::Error(line)),
            _ => return Err(UpstreamError::Unexpected),
        };
        self.changes.became(became);
        answer::write(&mut self.changes.answers, to, &outcome);
        Ok(())
    }

    /// The answer to a change is complete: its client waits for the read-back.
    pub(super) fn awaits_read_back(&mut self, id: SessionId) {
        self.changes.waiting.push((id, self.changes.answers.len()));
    }

    /// The item after the changes since that of version `first`: it is logged, and who made them gets the answers.
    pub(super) fn read_back(
        &mut self,
        batch: &mut Batch<'_>,
        (hold, first): (Hold, Version),
        item: Option<Item<'_>>,
        now: Now,
    ) {
        let became = self.changes.became;
        match item {
            Some(_) if self.shared.broken(Rule::ReadBack) => self.release_front(hold),
            // Perhaps not the last one: that may have been refused.
            Some(item) if (first..=hold.version).contains(&item.version) => self.commit_item(batch, hold, &item, now),
            Some(item) if became == Change::Made && item.version < first => {
                self.version_again(batch, hold, &item, now);
            }
            None if became != Change::Refused => self.commit_front(batch, hold),
            // Nothing was changed: refused, or not found.
            Some(item) if item.took_token => {
                let record = self.records.front(hold.record).to_vec();
                match record_key(&record) {
                    Some(key) => self.give_back(key, hold, item.version),
                    None => self.release_front(hold),
                }
            }
            Some(_) | None => self.release_front(hold),
        }
        self.tell_changes();
    }

    fn tell_changes(&mut self) {
        let mut changes = std::mem::take(&mut self.changes);
        let mut told = 0;
        let last = changes.waiting.len().saturating_sub(1);
        for (index, (id, end)) in changes.waiting.drain(..).enumerate() {
            self.put(id, changes.answers.get(told..end).unwrap_or_default());
            told = end;
            // The last one's is the read-back itself.
            if index < last {
                self.answered(id);
            }
        }
        changes.answers.clear();
        changes.became = Change::default();
        self.changes = changes;
    }

    /// The counter was changed but did not take its version: somebody inside memcached referred to the item. What it is
    /// now gets logged with its version, and the item gets that too, unless it is changed in between.
    pub(super) fn version_again(&mut self, batch: &mut Batch<'_>, hold: Hold, item: &Item<'_>, now: Now) {
        let record = self.records.front(hold.record).to_vec();
        let Some(key) = record_key(&record) else { return self.release_front(hold) };
        self.log_item(batch, hold, (key, hold.version), item, now);
        self.records.consume(hold.record);
        self.versions.pop_front();
        self.set_version(key, hold, item.version);
    }

    fn set_version(&mut self, key: &[u8], hold: Hold, small: Version) {
        self.versions.push_back(hold.version);
        encode::set_version(&mut self.upstream, key, hold.version.raw(), Some(small.raw()));
        self.expect(SessionId::NOBODY, What::VersionSet);
        encode::inspect(&mut self.upstream, key);
        let hold = self.record(hold, &Record::Delete { key, version: hold.version });
        self.expect(SessionId::NOBODY, What::Versioned { hold });
    }

    pub(super) fn versioned(&mut self, hold: Hold, meta: &Meta<'_>) {
        let here = meta.inspected().map(|(cas, _)| Version::of_item(cas));
        let small = here.filter(|version| *version < hold.version);
        let record = self.records.front(hold.record).to_vec();
        match (small, record_key(&record)) {
            (Some(small), Some(key)) => {
                self.records.consume(hold.record);
                self.versions.pop_front();
                self.set_version(key, hold, small);
            }
            _ => match (here.filter(|_| meta.flags.has(b'W')), record_key(&record)) {
                (Some(item), Some(key)) => self.give_back(key, hold, item),
                _ => self.release_front(hold),
            },
        }
    }

    /// A read of ours took the win token of the item that is at the front: a client shall have it. Until then whom this is
    /// done for is not answered.
    pub(super) fn give_back(&mut self, key: &[u8], hold: Hold, item: Version) {
        if self.shared.broken(Rule::TokenGivenBack) {
            return self.release_front(hold);
        }
        self.records.consume(hold.record);
        self.versions.pop_front();
        self.versions.push_back(hold.version);
        encode::mark_stale(&mut self.upstream, key, item.raw());
        let hold = self.record(hold, &Record::Delete { key, version: hold.version });
        self.changes.returning += 1;
        self.withhold(self.answering, What::GivenBack { hold, item, ours: true });
        for index in 0..self.changes.waiting.len().saturating_sub(1) {
            if let Some((id, _)) = self.changes.waiting.get(index) {
                self.withhold(*id, What::Returned);
            }
        }
    }

    /// An item that a read of ours found, with its stripe held. Where an earlier one took its token and gives it back to a version
    /// that the item no longer has, it is as if this one had taken it.
    pub(super) fn found<'a>(&self, item: Item<'a>, hash: u64) -> Item<'a> {
        match self.has_token_of(&item, hash) && self.giving_back(hash).all(|version| version != item.version) {
            true => Item { took_token: true, marks: item.marks.but_not(Marks::WON), ..item },
            false => item,
        }
    }

    /// Whether the token of an item is with us, not yet given back.
    pub(super) fn has_token_of(&self, item: &Item<'_>, hash: u64) -> bool {
        item.marks.has(Marks::STALE.and(Marks::WON)) && self.giving_back(hash).next().is_some()
    }

    /// The versions to which the token of a key is being given back.
    fn giving_back(&self, hash: u64) -> impl Iterator<Item = Version> {
        let given_back = move |expected: &Expected| match expected.what {
            What::GivenBack { hold, item, ours } => Some((hold.hash, item, ours)),
            _ => None,
        };
        let all = self.expected.iter().filter_map(given_back).take(self.changes.returning);
        all.filter(move |(of, _, ours)| *ours && *of == hash).map(|(_, item, _)| item)
    }

    /// The token of an item is free: whoever has it from now on, it is not us.
    pub(super) fn token_freed(&mut self, hash: u64) {
        let given_back = |expected: &'_ &mut Expected| matches!(expected.what, What::GivenBack { .. });
        for expected in self.expected.iter_mut().filter(given_back).take(self.changes.returning) {
            if let What::GivenBack { hold, ours, .. } = &mut expected.what {
                *ours &= hold.hash != hash;
            }
        }
    }

    fn withhold(&mut self, id: SessionId, until: What) {
        if let Some(session) = self.session(id) {
            session.giving_back += 1;
        }
        self.expect(id, until);
    }
}

/// What an error line says of the change.
pub(super) fn change_of_error(line: &[u8]) -> Change {
    if line.starts_with(b"SERVER_ERROR") { Change::Failed } else { Change::Refused }
}
