//! What the peer lacks: the job that walks the table and a dump of memcached and puts what it finds into the log.
//!
//! Items go through the same log as live writes. Each is fetched with its stripe held and queued before that is
//! released, so it is in order with the writes of its key.

mod dump;
pub(crate) mod listing;
mod pace;

use std::collections::VecDeque;

pub use dump::DumpCommand;
use dump::{Dump, DumpUser};
use listing::{Listed, Listing};
use pace::Pace;

use super::recency::{Passes, Recency};
use super::record::{Mark, Record, ResyncKind};
use super::replicator::{Op, Replicator};
use crate::clock::{Now, Version};
use crate::dataplane::item::{expiry_of_ttl, item_of};
use crate::dataplane::stripes::{Mode, Stripe};
use crate::dataplane::worker::UpstreamError;
use crate::guess::Guess;
use crate::protocol::encode;
use crate::protocol::response::{MetaCode, Response};
use crate::rules::Rule;
use crate::state::table::{Entry, List};

/// The most items being fetched at once.
pub(crate) const FETCHES: usize = 1024;
/// The most bytes waiting to be sent to memcached.
pub(super) const OUTPUT: usize = 256 << 10;
/// What a record takes besides its key and value.
const RECORD: usize = 64;

/// An item to be read for the peer.
#[derive(Debug)]
pub(super) struct Fetch {
    key: Box<[u8]>,
    hash: u64,
    what: Wanted,
    /// Of which job.
    job: u64,
}

/// What the peer gets.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// The item.
    Item(Source),
    /// That there is an item of this version, and when it ends. That is read when it is told: a client may have changed it
    /// since the dump.
    Digest(Version),
}

/// What is known of an item: its entry in the table, or the version in the dump.
#[derive(Clone, Copy, Debug)]
enum Source {
    Table,
    Dump(Version),
    /// In the dump, and stored by an earlier process that may have died before it could note it.
    Unnoted(Version),
}

/// What a job brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) kind: ResyncKind,
    /// Items newer than this are sent with their values; `None`: the dump is not needed for values.
    pub(super) newer_than: Option<Version>,
    /// Items up to this are told of, since the peer may have forgotten deletes.
    pub(super) digest: Option<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Table,
    /// A dump that only tells which items are used most.
    Count,
    Dump,
    /// All is found; fetches are under way.
    Ending,
}

#[derive(Debug)]
struct Job {
    number: u64,
    plan: Plan,
    phase: Phase,
    done: u64,
    /// Bytes of keys and values of these.
    bytes: u64,
    listed: u64,
    /// Items to be brought, where that is known before.
    total: u64,
    /// Bytes that may be fetched now, where the rate is limited.
    budget: i64,
    budget_ms: u64,
    /// What [`Phase::Count`] finds, and what follows from it.
    recency: Option<Recency>,
    passes: Option<Passes>,
    /// What [`Phase::Dump`] finds.
    listing: Listing,
}

impl Job {
    /// Whether the dump has to tell of this item with its value.
    fn wants(&self, version: Version, peer: u8) -> bool {
        // What the peer itself wrote it has, unless it lost everything.
        let known = self.plan.kind != ResyncKind::Full && version.replica() == peer;
        self.plan.newer_than.is_some_and(|newest| version > newest) && !known
    }

    fn wants_dump(&self) -> bool {
        match self.phase {
            Phase::Count => true,
            Phase::Dump => !self.listing.is_whole(),
            Phase::Table | Phase::Ending => false,
        }
    }

    /// All that a dump listed is taken: what comes next.
    fn next_phase(&mut self, rate: Option<u64>) {
        self.phase = match self.phase {
            Phase::Count => {
                let recency = self.recency.take();
                self.total = recency.as_ref().map_or(0, Recency::items);
                self.passes = recency.zip(rate).map(|(recency, rate)| recency.passes(rate));
                Phase::Dump
            }
            Phase::Dump if self.listing.advance() || self.passes.as_mut().is_some_and(Passes::advance) => Phase::Dump,
            Phase::Table | Phase::Dump | Phase::Ending => Phase::Ending,
        };
    }
}

/// How far the job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncStatus {
    /// Which kind.
    pub kind: ResyncKind,
    /// Items queued for the peer.
    pub items_done: u64,
    /// Bytes of their keys and values.
    pub bytes_done: u64,
    /// Items found so far.
    pub items_total: u64,
}

/// How much room in the log an item will take that is being fetched. Its size is not known before, and a resync that made
/// the log overflow would have to begin again.
#[derive(Debug)]
struct SizeGuess {
    guess: Guess,
    /// It does not shrink below, until a resync has ended.
    least: usize,
    largest: usize,
}

impl Default for SizeGuess {
    fn default() -> Self {
        Self { guess: Guess::new(0), least: 0, largest: 0 }
    }
}

impl SizeGuess {
    fn saw(&mut self, bytes: usize) {
        self.largest = self.largest.max(bytes);
        self.guess.saw(bytes.max(self.least));
    }

    /// It was wrong, or clients wrote more than the link carries.
    fn overflowed(&mut self) {
        self.least = self.largest;
        self.guess.saw(self.least);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Resync {
    job: Option<Job>,
    size: SizeGuess,
    jobs: u64,
    fetches: usize,
    pace: Pace,
    /// Waits for its stripe.
    waiting: Option<Fetch>,
    /// Were under way when memcached's connection was lost.
    again: VecDeque<Fetch>,
    dump: Dump,
    abandon: bool,
    pub(super) last: Option<ResyncStatus>,
}

impl Replicator {
    /// Starts to bring the peer what `plan` says, in the place of what was under way.
    pub(super) fn resync_start(&mut self, plan: Plan, now: Now) {
        self.resync_stop();
        self.link.owes_all &= plan.kind != ResyncKind::Full;
        self.resync.jobs += 1;
        let number = self.resync.jobs;
        let (budget, budget_ms) = (0, now.mono_ms());
        self.counters.resyncs[plan.kind as usize] += 1;
        self.shared.journal().append_record(&Record::Mark(Mark::ResyncStart(plan.kind, self.link.peer_incarnation)));
        let (phase, recency, passes) = (Phase::Table, None, None);
        let (done, bytes, listed, total) = (0, 0, 0, 0);
        let listing = Listing::default();
        let job = Job { number, plan, phase, done, bytes, listed, total, budget, budget_ms, recency, passes, listing };
        self.resync.job = Some(job);
    }

    /// Ends what is under way; it is not finished.
    pub(super) fn resync_stop(&mut self) {
        if self.resync.job.take().is_some() {
            self.shared.journal().unsend_sending();
        }
        self.resync.again.clear();
        if let Some(fetch) = self.resync.waiting.take()
            && self.relinquish(self.shared.stripes.of(fetch.hash))
        {
            self.shared.wake_replicator();
        }
        match self.resync.dump {
            Dump::Running(DumpUser::Job) | Dump::Ended(DumpUser::Job) | Dump::Asked(DumpUser::Job) => {
                (self.resync.dump, self.resync.abandon) = (Dump::Idle, true);
            }
            Dump::Idle | Dump::Wanted(DumpUser::Job) | Dump::Later(_) => self.resync.dump = Dump::Idle,
            Dump::Wanted(DumpUser::Sweep)
            | Dump::Running(DumpUser::Sweep)
            | Dump::Ended(DumpUser::Sweep)
            | Dump::Asked(DumpUser::Sweep) => {}
        }
    }

    /// What is under way.
    pub(super) fn resync_plan(&self) -> Option<Plan> {
        self.resync.job.as_ref().map(|job| job.plan)
    }

    /// How far the resync to the peer is, or the last one was.
    pub fn resync_status(&self) -> Option<ResyncStatus> {
        let now = self.resync.job.as_ref();
        now.map(status).or(self.resync.last)
    }

    /// Whether a resync to the peer is under way.
    pub fn is_resyncing(&self) -> bool {
        self.resync.job.is_some()
    }

    /// Until when a resync rests, in microseconds of the monotonic clock: a [`Replicator::turn`] is due then.
    pub fn rests_until_us(&self) -> Option<u64> {
        self.resync.pace.rests_until_us().filter(|_| self.is_resyncing())
    }

    pub(super) fn resync_turn(&mut self, now: Now) {
        // Only one can wait for its stripe.
        while self.resync.waiting.is_none()
            && let Some(fetch) = self.resync.again.pop_front()
        {
            self.fetch(fetch);
        }
        if matches!(self.resync.dump, Dump::Later(ms) if now.mono_ms() >= ms) {
            self.resync.dump = Dump::Idle;
        }
        self.sweep_turn();
        let Some(job) = &mut self.resync.job else { return };
        self.resync.pace.turn(now, self.resync.fetches, self.shared.serves_clients(now));
        if let Some(rate) = self.config.resync_rate {
            let passed = now.mono_ms().saturating_sub(job.budget_ms);
            job.budget_ms = now.mono_ms();
            let earned = (passed.min(1000) * rate / 1000) as i64;
            job.budget = job.budget.saturating_add(earned).min(rate as i64);
        }
        match job.phase {
            Phase::Table => self.walk_table(),
            Phase::Count | Phase::Dump => {
                let dropped = job.listing.relieve(now.mono_ms(), |key| self.shared.hasher.hash(key));
                job.listed = job.listed.saturating_sub(dropped);
                self.fetch_listed();
                let missing = self.resync.job.as_ref().is_some_and(Job::wants_dump);
                if missing && self.resync.dump == Dump::Idle {
                    self.resync.dump = Dump::Wanted(DumpUser::Job);
                }
            }
            Phase::Ending => self.resync_end(),
        }
    }

    fn resync_end(&mut self) {
        if self.resync.fetches > 0 || self.resync.waiting.is_some() || !self.resync.again.is_empty() {
            return;
        }
        let Some(job) = self.resync.job.take() else { return };
        self.resync.size.least = 0;
        let mut journal = self.shared.journal();
        if let Some(version) = job.plan.digest {
            journal.append_record(&Record::Mark(Mark::DigestEnd(version)));
        }
        let end = journal.append_record(&Record::Mark(Mark::ResyncEnd(job.plan.kind)));
        drop(journal);
        if job.plan.newer_than.is_some() {
            self.unnoted = None;
        }
        self.link_resync_ended(end, job.plan);
        self.resync.last = Some(status(&job));
    }

    /// Whether more may be fetched now.
    fn may_fetch(&self) -> bool {
        let room = {
            let journal = self.shared.journal();
            let share = journal.log.limit() / 4;
            let coming = self.resync.fetches * self.resync.size.guess.bytes().max(share / FETCHES);
            journal.log.bytes() + coming < share
        };
        let paid = self.config.resync_rate.is_none() || self.resync.job.as_ref().is_none_or(|job| job.budget >= 0);
        room && paid
            && self.resync.pace.allows()
            && self.connected
            && self.resync.waiting.is_none()
            && self.resync.again.is_empty()
            && self.resync.fetches < FETCHES
            && self.upstream.len() < OUTPUT
            && !self.flush.wants_all_stripes()
    }

    fn walk_table(&mut self) {
        while self.may_fetch() {
            let mut key = Vec::new();
            let Some((hash, entry)) = self.shared.journal().next_unsent(&mut key) else {
                if self.resync.fetches == 0 {
                    let limited = self.config.resync_rate.is_some();
                    if let Some(job) = &mut self.resync.job {
                        job.phase = match job.plan {
                            Plan { newer_than: None, digest: None, .. } => Phase::Ending,
                            Plan { newer_than: Some(_), .. } if limited => Phase::Count,
                            Plan { .. } => Phase::Dump,
                        };
                    }
                }
                return;
            };
            let Some(job) = &mut self.resync.job else { return };
            job.listed += 1;
            let number = job.number;
            if entry.deleted {
                self.shared.journal().commit_record(hash, Record::Delete { key: &key, version: entry.version });
                self.fetch_done(number, key.len());
            } else if entry.value_pending {
                self.fetch(Fetch { key: key.into(), hash, what: Wanted::Item(Source::Table), job: number });
            } else {
                self.send_touch(hash, &key, entry);
                self.fetch_done(number, key.len());
            }
        }
    }

    /// Fetches what a dump has listed, as far as that may be now.
    fn fetch_listed(&mut self) {
        let peer = 1 - self.shared.clock.replica().get();
        while self.may_fetch() {
            let Some(job) = self.resync.job.as_mut().filter(|job| job.phase == Phase::Dump) else { return };
            let Some(Listed { key, version }) = job.listing.pop() else {
                if job.listing.is_done() {
                    job.next_phase(self.config.resync_rate);
                }
                return;
            };
            let number = job.number;
            let hash = self.shared.hasher.hash(&key);
            let what = if job.wants(version, peer) {
                let ours = version.replica() != peer;
                let unnoted = ours && self.unnoted.is_some_and(|(from, to)| version > from && version < to);
                Wanted::Item(if unnoted { Source::Unnoted(version) } else { Source::Dump(version) })
            } else {
                Wanted::Digest(version)
            };
            self.fetch(Fetch { key, hash, what, job: number });
        }
    }

    fn send_touch(&self, hash: u64, key: &[u8], entry: Entry) {
        if let Some((version, expiry)) = entry.touch {
            let record = Record::Touch { key, item: entry.version, version, expiry };
            self.shared.journal().commit_record(hash, record);
        }
    }

    pub(super) fn fetch_waits_for(&self, stripe: Stripe) -> bool {
        self.resync.waiting.as_ref().is_some_and(|fetch| self.shared.stripes.of(fetch.hash) == stripe)
    }

    /// Reads an item for the peer, now or when its stripe is free. Only while no other one waits.
    fn fetch(&mut self, fetch: Fetch) {
        let held = !self.shared.broken(Rule::BulkUnderStripe);
        if held && !self.take_stripe(self.shared.stripes.of(fetch.hash), Mode::Single) {
            self.resync.waiting = Some(fetch);
            return;
        }
        match fetch.what {
            Wanted::Item(_) => encode::read_back(&mut self.upstream, &fetch.key),
            Wanted::Digest(_) => encode::inspect(&mut self.upstream, &fetch.key),
        }
        self.resync.fetches += 1;
        self.resync.pace.sent();
        self.ops.push_back(Op::Fetch(fetch));
    }

    pub(super) fn fetch_again(&mut self, fetch: Fetch) {
        self.resync.fetches -= 1;
        if !self.shared.broken(Rule::BulkUnderStripe) {
            self.release(self.shared.stripes.of(fetch.hash));
        }
        if self.resync.job.as_ref().is_some_and(|job| job.number == fetch.job) {
            self.resync.again.push_back(fetch);
        }
    }

    pub(super) fn resync_woken(&mut self) {
        if let Some(fetch) = self.resync.waiting.take() {
            if !self.connected {
                self.shared.relinquish(self.shared.stripes.of(fetch.hash), self.party);
                self.resync.again.push_back(fetch);
            } else {
                self.fetch(fetch);
            }
        }
    }

    /// The log has dropped what the peer lacks.
    pub(super) fn resync_overflowed(&mut self) {
        self.resync.size.overflowed();
    }

    fn fetch_done(&mut self, number: u64, bytes: usize) {
        if let Some(job) = self.resync.job.as_mut().filter(|job| job.number == number) {
            job.done += 1;
            job.bytes += bytes as u64;
            job.budget = job.budget.saturating_sub(bytes as i64);
        }
    }

    pub(super) fn fetched(&mut self, fetch: &Fetch, response: &Response<'_>, now: Now) -> Result<(), UpstreamError> {
        match fetch.what {
            Wanted::Item(source) => self.fetched_item(fetch, source, response, now),
            Wanted::Digest(version) => self.fetched_digest(fetch, version, response, now),
        }
    }

    fn fetched_item(
        &mut self,
        fetch: &Fetch,
        source: Source,
        response: &Response<'_>,
        now: Now,
    ) -> Result<(), UpstreamError> {
        let item = item_of(response)?;
        self.resync.fetches -= 1;
        let current = self.is_current(fetch);
        let (hash, key) = (fetch.hash, &fetch.key[..]);
        let flush = self.shared.flush();
        let mut bytes = key.len();
        if current {
            let mut journal = self.shared.journal();
            // It may have been touched since it was taken off the table.
            let touched = journal.get(hash, key);
            match (item.filter(|item| item.version > flush), source) {
                (Some(item), _) => {
                    let expiry = item.expiry(now);
                    let (version, flags, value) = (item.version, item.flags, item.value);
                    bytes += value.len();
                    let marks = item.marks;
                    let record = Record::Set { key, version, flags, expiry, bulk: true, marks, value };
                    match source {
                        Source::Table => journal.commit_record(hash, record),
                        Source::Dump(_) => journal.append_record(&record),
                        // Should it be evicted now, an older one of the peer must not take its place.
                        Source::Unnoted(_) => journal.commit_record(hash, record),
                    };
                }
                // told below
                (None, Source::Table) => {}
                (None, Source::Dump(version) | Source::Unnoted(version)) => {
                    if !self.shared.broken(Rule::GoneFromDumpIsDeleted) {
                        journal.append_record(&Record::Delete { key, version });
                    }
                }
            }
            drop(journal);
            if let (Source::Table, Some(entry)) = (source, touched) {
                self.send_touch(hash, key, entry);
            }
            // Nothing is there, or something older than what was noted: the noted write was evicted.
            let mut journal = self.shared.journal();
            let noted = journal.get(hash, key).filter(|entry| entry.list == List::Sending);
            if let Some(entry) = noted.filter(|_| !self.shared.broken(Rule::EvictedPendingIsDeleted)) {
                journal.commit_record(hash, Record::Delete { key, version: entry.version });
            }
        }
        self.end_fetch(fetch, item.filter(|item| item.took_token).map(|item| item.version.raw()));
        self.resync.size.saw(bytes + RECORD);
        self.fetch_done(fetch.job, bytes);
        Ok(())
    }

    /// Told if it is still the item that was listed.
    fn fetched_digest(
        &mut self,
        fetch: &Fetch,
        version: Version,
        response: &Response<'_>,
        now: Now,
    ) -> Result<(), UpstreamError> {
        let Response::Meta(meta) = response else { return Err(UpstreamError::Unexpected) };
        let seen = meta.inspected();
        if seen.is_none() && meta.code != MetaCode::Miss {
            return Err(UpstreamError::Unexpected);
        }
        self.resync.fetches -= 1;
        let told = seen.filter(|(cas, _)| Version::of_item(*cas) == version && version > self.shared.flush());
        if let Some((_, ttl)) = told.filter(|_| self.is_current(fetch)) {
            let expiry = expiry_of_ttl(ttl, now);
            self.shared.journal().append_record(&Record::Have { key: &fetch.key, version, expiry });
        }
        let took_token = meta.code == MetaCode::Header && meta.flags.has(b'W');
        self.end_fetch(fetch, seen.filter(|_| took_token).map(|(cas, _)| cas));
        Ok(())
    }

    fn is_current(&self, fetch: &Fetch) -> bool {
        self.resync.job.as_ref().is_some_and(|job| job.number == fetch.job)
    }

    /// Gives back the stripe, behind the win token of the item with this CAS where the fetch took that.
    fn end_fetch(&mut self, fetch: &Fetch, token: Option<u64>) {
        let held = (!self.shared.broken(Rule::BulkUnderStripe)).then(|| self.shared.stripes.of(fetch.hash));
        match token.filter(|_| !self.shared.broken(Rule::TokenGivenBack)) {
            Some(cas) => {
                encode::mark_stale(&mut self.upstream, &fetch.key, cas);
                self.ops.push_back(Op::GiveBack(held));
            }
            None => held.into_iter().for_each(|stripe| self.release(stripe)),
        }
    }
}

fn status(job: &Job) -> ResyncStatus {
    let items_total = job.listed.max(job.done).max(job.total);
    ResyncStatus { kind: job.plan.kind, items_done: job.done, bytes_done: job.bytes, items_total }
}

#[cfg(test)]
mod tests;
