//! The dump of memcached as a resync and the sweep of a flush read it: one at a time, on a connection of its own.

use super::{FETCHES, OUTPUT, Phase};
use crate::clock::{Now, Version};
use crate::protocol::dump::{self, DumpError, DumpItem, DumpLine};
use crate::protocol::encode;
use crate::replication::recency::Recency;
use crate::replication::replicator::{Op, Replicator};
use crate::rules::Rule;

/// After a dump that was refused or cut, the next one is tried so many milliseconds later.
const RETRY_MS: u64 = 100;

/// Who uses the dump connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DumpUser {
    Job,
    Sweep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dump {
    #[default]
    Idle,
    /// The shell has to open a connection.
    Wanted(DumpUser),
    Running(DumpUser),
    /// `END` has come. The shell has to ask whether anything is behind it.
    Ended(DumpUser),
    /// It has asked.
    Asked(DumpUser),
    /// Not before this millisecond.
    Later(u64),
}

/// What the shell does with the dump connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpCommand {
    /// Open a new connection and send these bytes; close an old one. A client may have disabled the crawler: `lru_crawler
    /// enable` goes before, and its answer (an error where nobody did) is waited for, since memcached refuses a dump that is
    /// pipelined behind another command.
    Start(&'static [u8]),
    /// Send these bytes on it.
    Ask(&'static [u8]),
    /// Close it.
    Stop,
}

impl Replicator {
    /// What the shell has to do with the dump connection, once.
    pub fn take_dump_command(&mut self) -> Option<DumpCommand> {
        if std::mem::take(&mut self.resync.abandon) && !matches!(self.resync.dump, Dump::Wanted(_)) {
            return Some(DumpCommand::Stop);
        }
        if let Dump::Ended(user) = self.resync.dump {
            self.resync.dump = Dump::Asked(user);
            return Some(DumpCommand::Ask(encode::NOOP));
        }
        let Dump::Wanted(user) = self.resync.dump else { return None };
        if !self.connected {
            return None;
        }
        self.resync.dump = Dump::Running(user);
        if let Some(job) = self.resync.job.as_mut().filter(|_| user == DumpUser::Job) {
            // One that was cut may have counted already.
            job.recency = None;
            job.listing.begin();
        }
        // Undoes a client's `disable`. Where the dump overtakes it, it is refused and tried again.
        self.upstream.extend_from_slice(encode::CRAWLER_ENABLE);
        self.ops.push_back(Op::EnableCrawler);
        Some(DumpCommand::Start(encode::METADUMP))
    }

    /// A sweep needs the dump connection: it goes first.
    pub(in crate::replication) fn dump_for_sweep(&mut self) -> bool {
        match self.resync.dump {
            // The job's own dump starts again afterwards.
            Dump::Idle
            | Dump::Wanted(_)
            | Dump::Running(DumpUser::Job)
            | Dump::Ended(DumpUser::Job)
            | Dump::Asked(DumpUser::Job) => {
                self.resync.dump = Dump::Wanted(DumpUser::Sweep);
                true
            }
            Dump::Running(DumpUser::Sweep)
            | Dump::Ended(DumpUser::Sweep)
            | Dump::Asked(DumpUser::Sweep)
            | Dump::Later(_) => false,
        }
    }

    /// Whether bytes of the dump can be taken now.
    pub fn dump_wants_input(&self) -> bool {
        match self.resync.dump {
            Dump::Running(DumpUser::Job) => self.resync.job.as_ref().is_none_or(|job| job.listing.has_room()),
            Dump::Running(DumpUser::Sweep) => self.upstream.len() < OUTPUT && self.ops.len() < 4 * FETCHES,
            Dump::Idle | Dump::Wanted(_) | Dump::Ended(_) | Dump::Asked(_) | Dump::Later(_) => true,
        }
    }

    /// The dump connection is lost, or could not be opened.
    pub fn dump_failed(&mut self) {
        if let Dump::Running(user) | Dump::Ended(user) | Dump::Asked(user) = self.resync.dump {
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
                DumpLine::End if self.shared.broken(Rule::DumpIsWhole) => self.dumped(user),
                DumpLine::End => self.resync.dump = Dump::Ended(user),
                DumpLine::Retry { .. } | DumpLine::Refused { .. } => self.dump_later(user, now),
            }
        }
        if let Dump::Ended(user) | Dump::Asked(user) = self.resync.dump {
            at += self.behind_the_end(user, bytes.get(at..).unwrap_or_default(), now);
        }
        self.fetch_listed();
        Ok(at)
    }

    /// What came behind `END`: the answer, or lines that `END` overwrote (see [`super::listing`]). Returns how many bytes are
    /// done with.
    fn behind_the_end(&mut self, user: DumpUser, bytes: &[u8], now: Now) -> usize {
        if bytes.starts_with(encode::NOOP_ANSWER) {
            self.dumped(user);
            return encode::NOOP_ANSWER.len();
        }
        if encode::NOOP_ANSWER.starts_with(bytes) {
            return 0;
        }
        self.counters.dumps_cut += 1;
        self.dump_later(user, now);
        bytes.len()
    }

    /// The dump was refused or is not whole.
    fn dump_later(&mut self, user: DumpUser, now: Now) {
        self.resync.dump = Dump::Later(now.mono_ms() + RETRY_MS);
        self.resync.abandon = true;
        if user == DumpUser::Sweep {
            self.sweep_again();
        }
    }

    /// The dump is whole.
    fn dumped(&mut self, user: DumpUser) {
        self.resync.dump = Dump::Idle;
        self.resync.abandon = true;
        match user {
            DumpUser::Job => {
                if let Some(job) = &mut self.resync.job {
                    match job.phase {
                        Phase::Count => job.next_phase(self.config.resync_rate),
                        Phase::Table | Phase::Dump | Phase::Ending => job.listing.end(),
                    }
                }
                self.fetch_listed();
            }
            DumpUser::Sweep => self.sweep_listed(),
        }
    }

    /// One item of the dump for the job.
    fn listed(&mut self, item: &DumpItem<'_>, now: Now) {
        let version = Version::of_item(item.cas);
        let peer = 1 - self.shared.clock.replica().get();
        let told = self.shared.memcached_told_s();
        let Some(job) = &mut self.resync.job else { return };
        let wanted = job.wants(version, peer);
        if job.phase == Phase::Count {
            if wanted {
                job.recency.get_or_insert_with(|| Recency::new(told)).add(item.last_access, item.size);
            }
            return;
        }
        if job.passes.as_ref().is_some_and(|passes| !passes.takes(item.last_access)) {
            return;
        }
        if !wanted && job.plan.digest.is_none_or(|floor| version > floor) {
            return;
        }
        let mut key = Vec::with_capacity(crate::protocol::limits::MAX_KEY);
        item.key.decode_into(&mut key);
        if self.shared.accepts_key(&key) && job.listing.covers(self.shared.hasher.hash(&key)) {
            job.listed += u64::from(wanted);
            job.listing.push(&key, version, now.mono_ms());
        }
    }
}
