//! What the peer lacks: the job that walks the table and a dump of memcached and puts what it finds into the log.
//!
//! Items go through the same log as live writes. Each is fetched with its stripe held and queued before that is
//! released, so it is in order with the writes of its key.

use std::collections::VecDeque;

use super::recency::{Passes, Recency};
use super::record::{Expiry, Mark, Record, ResyncKind};
use super::replicator::{Op, Replicator};
use crate::clock::{Now, Version};
use crate::dataplane::reply::item_of;
use crate::dataplane::stripes::{Mode, Stripe};
use crate::dataplane::worker::UpstreamError;
use crate::guess::Guess;
use crate::protocol::dump::{self, DumpError, DumpItem, DumpLine};
use crate::protocol::encode;
use crate::protocol::response::Response;
use crate::rules::Rule;
use crate::state::table::{Entry, List};

/// The most items being fetched at once.
pub(crate) const FETCHES: usize = 1024;
/// The most bytes waiting to be sent to memcached.
pub(super) const OUTPUT: usize = 256 << 10;
/// What a record takes besides its key and value.
const RECORD: usize = 64;
/// After a dump that was refused or cut, the next one is tried so many milliseconds later.
const DUMP_RETRY_MS: u64 = 100;

/// An item to be read for the peer.
#[derive(Debug)]
pub(super) struct Fetch {
    key: Box<[u8]>,
    hash: u64,
    /// What is known of it: its entry in the table, or the version in the dump.
    source: Source,
    /// Of which job.
    job: u64,
}

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
}

impl Job {
    /// Whether the dump has to tell of this item with its value.
    fn wants(&self, version: Version, peer: u8) -> bool {
        // What the peer itself wrote it has, unless it lost everything.
        let known = self.plan.kind != ResyncKind::Full && version.replica() == peer;
        self.plan.newer_than.is_some_and(|newest| version > newest) && !known
    }

    /// The dump is at its end: what comes next.
    fn dumped(&mut self, rate: Option<u64>) {
        self.phase = match self.phase {
            Phase::Count => {
                let recency = self.recency.take();
                self.total = recency.as_ref().map_or(0, Recency::items);
                self.passes = recency.zip(rate).map(|(recency, rate)| recency.passes(rate));
                Phase::Dump
            }
            Phase::Dump if self.passes.as_mut().is_some_and(Passes::advance) => Phase::Dump,
            Phase::Table | Phase::Dump | Phase::Ending => Phase::Ending,
        };
    }
}

/// Who uses the dump connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DumpUser {
    Job,
    Sweep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Dump {
    #[default]
    Idle,
    /// The shell has to open a connection.
    Wanted(DumpUser),
    Running(DumpUser),
    /// Not before this millisecond.
    Later(u64),
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
    /// Waits for its stripe.
    waiting: Option<Fetch>,
    /// Were under way when memcached's connection was lost.
    again: VecDeque<Fetch>,
    dump: Dump,
    abandon: bool,
    pub(super) last: Option<ResyncStatus>,
}

/// What the shell does with the dump connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpCommand {
    /// Open a new connection and send these bytes; close an old one. A client may have disabled the crawler: `lru_crawler
    /// enable` goes before, and its answer (an error where nobody did) is waited for, since memcached refuses a dump that is
    /// pipelined behind another command.
    Start(&'static [u8]),
    /// Close it.
    Stop,
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
        let job = Job { number, plan, phase, done, bytes, listed, total, budget, budget_ms, recency, passes };
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
        if matches!(self.resync.dump, Dump::Running(DumpUser::Job)) {
            self.resync.abandon = true;
        }
        if !matches!(self.resync.dump, Dump::Running(DumpUser::Sweep) | Dump::Wanted(DumpUser::Sweep)) {
            self.resync.dump = Dump::Idle;
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

    pub(super) fn resync_turn(&mut self, now: Now) {
        while let Some(fetch) = self.resync.again.pop_front() {
            if !self.fetch(fetch) {
                break;
            }
        }
        if matches!(self.resync.dump, Dump::Later(ms) if now.mono_ms() >= ms) {
            self.resync.dump = Dump::Idle;
        }
        self.sweep_turn();
        let Some(job) = &mut self.resync.job else { return };
        if let Some(rate) = self.config.resync_rate {
            let passed = now.mono_ms().saturating_sub(job.budget_ms);
            job.budget_ms = now.mono_ms();
            let earned = (passed.min(1000) * rate / 1000) as i64;
            job.budget = job.budget.saturating_add(earned).min(rate as i64);
        }
        match job.phase {
            Phase::Table => self.walk_table(),
            Phase::Count | Phase::Dump => {
                if self.resync.dump == Dump::Idle {
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
                let source = Source::Table;
                self.fetch(Fetch { key: key.into(), hash, source, job: number });
            } else {
                self.send_touch(hash, &key, entry);
                self.fetch_done(number, key.len());
            }
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

    /// Reads an item for the peer; `false`: its stripe has to be waited for.
    fn fetch(&mut self, fetch: Fetch) -> bool {
        let held = !self.shared.broken(Rule::BulkUnderStripe);
        if held && !self.take_stripe(self.shared.stripes.of(fetch.hash), Mode::Single) {
            self.resync.waiting = Some(fetch);
            return false;
        }
        encode::read_back(&mut self.upstream, &fetch.key);
        self.resync.fetches += 1;
        self.ops.push_back(Op::Fetch(fetch));
        true
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

    pub(super) fn fetched(&mut self, fetch: Fetch, response: &Response<'_>, now: Now) -> Result<(), UpstreamError> {
        let item = item_of(response)?;
        self.resync.fetches -= 1;
        let current = self.resync.job.as_ref().is_some_and(|job| job.number == fetch.job);
        let (hash, key) = (fetch.hash, &fetch.key[..]);
        let flush = self.shared.flush();
        let mut bytes = key.len();
        if current {
            let mut journal = self.shared.journal();
            // It may have been touched since it was taken off the table.
            let touched = journal.get(hash, key);
            match (item.filter(|item| item.version > flush), fetch.source) {
                (Some(item), source) => {
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
            if let (Source::Table, Some(entry)) = (fetch.source, touched) {
                self.send_touch(hash, key, entry);
            }
            // Nothing is there, or something older than what was noted: the noted write was evicted.
            let mut journal = self.shared.journal();
            let noted = journal.get(hash, key).filter(|entry| entry.list == List::Sending);
            if let Some(entry) = noted.filter(|_| !self.shared.broken(Rule::EvictedPendingIsDeleted)) {
                journal.commit_record(hash, Record::Delete { key, version: entry.version });
            }
        }
        let held = (!self.shared.broken(Rule::BulkUnderStripe)).then(|| self.shared.stripes.of(hash));
        match item.filter(|item| item.took_token) {
            Some(item) => {
                encode::mark_stale(&mut self.upstream, key, item.version.raw());
                self.ops.push_back(Op::GiveBack(held));
            }
            None => {
                if let Some(stripe) = held {
                    self.release(stripe);
                }
            }
        }
        self.resync.size.saw(bytes + RECORD);
        self.fetch_done(fetch.job, bytes);
        Ok(())
    }

    /// What the shell has to do with the dump connection, once.
    pub fn take_dump_command(&mut self) -> Option<DumpCommand> {
        if std::mem::take(&mut self.resync.abandon) && !matches!(self.resync.dump, Dump::Wanted(_)) {
            return Some(DumpCommand::Stop);
        }
        let Dump::Wanted(user) = self.resync.dump else { return None };
        if !self.connected {
            return None;
        }
        self.resync.dump = Dump::Running(user);
        if let Some(job) = self.resync.job.as_mut().filter(|_| user == DumpUser::Job) {
            // One that was cut may have counted already.
            job.recency = None;
        }
        // Undoes a client's `disable`. Where the dump overtakes it, it is refused and tried again.
        self.upstream.extend_from_slice(encode::CRAWLER_ENABLE);
        self.ops.push_back(Op::EnableCrawler);
        Some(DumpCommand::Start(encode::METADUMP))
    }

    /// A sweep needs the dump connection: it goes first.
    pub(super) fn dump_for_sweep(&mut self) -> bool {
        match self.resync.dump {
            // The job's own dump starts again afterwards.
            Dump::Idle | Dump::Wanted(_) | Dump::Running(DumpUser::Job) => {
                self.resync.dump = Dump::Wanted(DumpUser::Sweep);
                true
            }
            Dump::Running(DumpUser::Sweep) | Dump::Later(_) => false,
        }
    }

    fn is_counting(&self) -> bool {
        self.resync.job.as_ref().is_some_and(|job| job.phase == Phase::Count)
    }

    /// Whether bytes of the dump can be taken now.
    pub fn dump_wants_input(&self) -> bool {
        match self.resync.dump {
            Dump::Running(DumpUser::Job) => self.is_counting() || self.may_fetch(),
            Dump::Running(DumpUser::Sweep) => self.upstream.len() < OUTPUT && self.ops.len() < 4 * FETCHES,
            Dump::Idle | Dump::Wanted(_) | Dump::Later(_) => true,
        }
    }

    /// The dump connection is lost, or could not be opened.
    pub fn dump_failed(&mut self) {
        if let Dump::Running(user) = self.resync.dump {
            self.resync.dump = Dump::Wanted(user);
        }
    }

    /// Bytes of the dump: returns how many are done with. To be called again as long as it takes some.
    ///
    /// # Errors
    /// They are no dump; the connection is to be closed and [`Replicator::dump_failed`] called.
    pub fn dump_input(&mut self, bytes: &[u8], now: Now) -> Result<usize, DumpError> {
        let mut at = 0;
        while let Dump::Running(user) = self.resync.dump {
            if !self.dump_wants_input() {
                break;
            }
            let Some((line, len)) = dump::parse(bytes.get(at..).unwrap_or_default())? else { break };
            at += len;
            match line {
                DumpLine::Started => {}
                DumpLine::Item(item) => match user {
                    DumpUser::Job => self.listed(&item, now),
                    DumpUser::Sweep => self.sweep_one(&item),
                },
                DumpLine::End => {
                    self.resync.dump = Dump::Idle;
                    self.resync.abandon = true;
                    match user {
                        DumpUser::Job => {
                            if let Some(job) = &mut self.resync.job {
                                job.dumped(self.config.resync_rate);
                            }
                        }
                        DumpUser::Sweep => self.sweep_listed(),
                    }
                }
                DumpLine::Retry { .. } | DumpLine::Refused { .. } => {
                    self.resync.dump = Dump::Later(now.mono_ms() + DUMP_RETRY_MS);
                    self.resync.abandon = true;
                    if user == DumpUser::Sweep {
                        self.sweep_again();
                    }
                }
            }
        }
        Ok(at)
    }

    /// One item of the dump for the job.
    fn listed(&mut self, item: &DumpItem<'_>, now: Now) {
        let version = Version::of_item(item.cas);
        let peer = 1 - self.shared.clock.replica().get();
        let memcached_s = self.shared.memcached_unix_ms(now).div_euclid(1000);
        let Some(job) = &mut self.resync.job else { return };
        let wanted = job.wants(version, peer);
        if job.phase == Phase::Count {
            if wanted {
                job.recency.get_or_insert_with(|| Recency::new(memcached_s)).add(item.last_access, item.size);
            }
            return;
        }
        if job.passes.as_ref().is_some_and(|passes| !passes.takes(item.last_access)) {
            return;
        }
        let mut key = Vec::with_capacity(crate::protocol::limits::MAX_KEY);
        item.key.decode_into(&mut key);
        if !self.shared.accepts_key(&key) {
            return;
        }
        if wanted {
            job.listed += 1;
            let number = job.number;
            let hash = self.shared.hasher.hash(&key);
            let ours = version.replica() != peer;
            let unnoted = ours && self.unnoted.is_some_and(|(from, to)| version > from && version < to);
            let source = if unnoted { Source::Unnoted(version) } else { Source::Dump(version) };
            self.fetch(Fetch { key: key.into(), hash, source, job: number });
        } else if job.plan.digest.is_some_and(|floor| version <= floor) {
            let expiry = item.expires.map_or(Expiry::Never, |unix| {
                let left_ms = unix.saturating_mul(1000).saturating_sub(self.shared.memcached_unix_ms(now));
                Expiry::after_seconds(left_ms.div_euclid(1000), now.mono_ms())
            });
            self.shared.journal().append_record(&Record::Have { key: &key, version, expiry });
        }
    }
}

fn status(job: &Job) -> ResyncStatus {
    let items_total = job.listed.max(job.done).max(job.total);
    ResyncStatus { kind: job.plan.kind, items_done: job.done, bytes_done: job.bytes, items_total }
}
