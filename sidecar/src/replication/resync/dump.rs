//! The dump of memcached as a resync and the sweep of a flush read it: one at a time, on a connection of its own.

use super::{FETCHES, Fetch, OUTPUT, Phase, Source};
use crate::clock::{Now, Version};
use crate::protocol::dump::{self, DumpError, DumpItem, DumpLine};
use crate::protocol::encode;
use crate::replication::recency::Recency;
use crate::replication::record::{Expiry, Record};
use crate::replication::replicator::{Op, Replicator};

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
    /// Close it.
    Stop,
}

impl Replicator {
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
    pub(in crate::replication) fn dump_for_sweep(&mut self) -> bool {
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
                    self.resync.dump = Dump::Later(now.mono_ms() + RETRY_MS);
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
