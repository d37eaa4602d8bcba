//! What all workers and the replicator of one replica share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, Now, ReplicaId, Version};
use crate::dataplane::discovery::Discovery;
use crate::dataplane::stripes::{MAX_PARTIES, Party, Stripe, Stripes};
use crate::hash::KeyHasher;
use crate::protocol::encode::needs_base64;
use crate::protocol::{Dialect, Limits};
use crate::replication::journal::Journal;
use crate::replication::record::Expiry;
use crate::rules::{Rule, Rules};
use crate::state::header::Field;

/// From this many seconds on memcached takes an exptime as a point in time (`REALTIME_MAXDELTA`).
pub const RELATIVE_LIMIT: i64 = 60 * 60 * 24 * 30;

/// Wakes a party: it then calls its `woken`.
pub trait Wake: Send + Sync {
    /// Wakes `party` soon; several calls may become one.
    fn wake(&self, party: Party);
}

/// A client's `flush_all`, waiting for the replicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushRequest {
    /// Whose client.
    pub party: Party,
    /// Which client, by the worker's own token.
    pub token: u64,
    /// When: [`Expiry::Never`] is at once.
    pub due: Expiry,
}

/// See the module.
pub struct Shared {
    /// Issues versions.
    pub clock: Clock,
    /// Order of writes.
    pub stripes: Stripes,
    /// Hash of keys.
    pub hasher: KeyHasher,
    /// Where clients find both replicas.
    pub discovery: Arc<Discovery>,
    journal: Mutex<Journal>,
    low: [AtomicU64; MAX_PARTIES],
    served_ms: AtomicU64,
    flush: AtomicU64,
    sweeping: AtomicBool,
    memcached_clock: AtomicI64,
    memcached_told: AtomicI64,
    nul_in_keys: AtomicBool,
    item_size_max: AtomicU64,
    flush_requests: Mutex<Vec<FlushRequest>>,
    flushed: Mutex<Vec<FlushRequest>>,
    wake: Box<dyn Wake>,
    replicator: Party,
    rules: Rules,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("clock", &self.clock).finish_non_exhaustive()
    }
}

const IDLE: u64 = u64::MAX;
/// Clients that were answered so many milliseconds ago are served still.
const SERVED_MS: u64 = 10;

impl Shared {
    /// Shares `journal` among the workers and, with the number behind theirs, the `replicator`.
    pub fn new(
        replica: ReplicaId,
        journal: Journal,
        hasher: KeyHasher,
        replicator: Party,
        wake: Box<dyn Wake>,
        rules: Rules,
        stripes: usize,
    ) -> Self {
        let ceiling = journal.version(Field::Ceiling);
        let flush = journal.version(Field::Flush);
        let sweeping = journal.version(Field::Swept) < flush;
        Self {
            clock: Clock::new(replica, ceiling),
            stripes: Stripes::new(stripes, ceiling),
            hasher,
            discovery: Arc::default(),
            journal: Mutex::new(journal),
            low: [const { AtomicU64::new(IDLE) }; MAX_PARTIES],
            served_ms: AtomicU64::new(0),
            flush: AtomicU64::new(flush.raw()),
            sweeping: AtomicBool::new(sweeping),
            memcached_clock: AtomicI64::new(0),
            memcached_told: AtomicI64::new(0),
            nul_in_keys: AtomicBool::new(false),
            item_size_max: AtomicU64::new(1 << 20),
            flush_requests: Mutex::default(),
            flushed: Mutex::default(),
            wake,
            replicator,
            rules,
        }
    }

    /// The journal; a party that panicked with it has left it whole, since every step of it is.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the sharing; for whoever opens the next on the same storage.
    pub fn into_journal(self) -> Journal {
        self.journal.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a test has broken this rule on purpose; always `false` in a program.
    #[inline]
    pub fn broken(&self, rule: Rule) -> bool {
        self.rules.broken(rule)
    }

    /// The next version. The journal must not be locked by the caller.
    pub fn next_version(&self, now: Now) -> Version {
        let version = self.clock.tick(now);
        self.raise_ceiling(version);
        version
    }

    /// Takes note of a version of the peer. The journal must not be locked by the caller.
    pub fn observe(&self, version: Version) {
        self.clock.observe(version);
        // What is applied now stays when this process ends: the clock of the next one must be above it, too.
        if !self.broken(Rule::ObservedIsBelowCeiling) {
            self.raise_ceiling(version);
        }
    }

    fn raise_ceiling(&self, version: Version) {
        if let Some(ceiling) = self.clock.ceiling_for(version) {
            // Another thread may have raised it further since.
            self.journal().raise(Field::Ceiling, ceiling);
            self.clock.ceiling_persisted(ceiling);
        }
    }

    /// Clients were answered.
    #[inline]
    pub fn served(&self, now: Now) {
        // Written a thousand times a second at most: all workers look at it.
        if self.served_ms.load(Ordering::Relaxed) < now.mono_ms() {
            self.served_ms.store(now.mono_ms(), Ordering::Relaxed);
        }
    }

    /// Whether clients were answered a moment ago.
    pub fn serves_clients(&self, now: Now) -> bool {
        self.served_ms.load(Ordering::Relaxed) + SERVED_MS > now.mono_ms()
    }

    /// Says that `party` is about to take versions: they will all be above what the clock shows now.
    pub fn writes_begin(&self, party: Party) {
        self.low[party.index()].store(self.clock.last().raw(), Ordering::SeqCst);
    }

    /// The oldest version of `party` that is not in the journal yet; `None` where all are.
    pub fn writes_pending(&self, party: Party, oldest: Option<Version>) {
        self.low[party.index()].store(oldest.map_or(IDLE, Version::raw), Ordering::SeqCst);
    }

    /// Whether the write of this version may be one of ours that is not in the journal yet.
    pub fn may_be_in_flight(&self, version: Version) -> bool {
        version.replica() == self.clock.replica().get()
            && self.low.iter().any(|low| low.load(Ordering::SeqCst) <= version.raw())
    }

    /// A version up to which every write of ours is in the journal.
    pub fn watermark(&self, now: Now) -> Version {
        let fresh = self.next_version(now);
        if self.broken(Rule::WatermarkBelowInFlight) {
            return fresh;
        }
        let low = self.low.iter().map(|low| low.load(Ordering::SeqCst)).min().unwrap_or(IDLE);
        fresh.min(Version::of_item(low.min(Version::MAX.raw())).before())
    }

    /// The greatest flush: what is not newer is gone.
    #[inline]
    pub fn flush(&self) -> Version {
        Version::of_item(self.flush.load(Ordering::Acquire))
    }

    /// Whether items up to the flush may still be in memcached.
    #[inline]
    pub fn sweeping(&self) -> bool {
        self.sweeping.load(Ordering::Acquire)
    }

    /// A flush begins: from now on nothing up to `version` is shown.
    pub fn begin_sweep(&self, version: Version) {
        self.flush.fetch_max(version.raw(), Ordering::AcqRel);
        if !self.broken(Rule::ReadsHideFlushed) {
            self.sweeping.store(true, Ordering::Release);
        }
    }

    /// memcached holds nothing up to the flush any more.
    pub fn end_sweep(&self) {
        self.sweeping.store(false, Ordering::Release);
    }

    /// memcached's clock: Unix milliseconds there less monotonic milliseconds here, and the Unix second it told last.
    pub fn set_memcached_clock(&self, offset_ms: i64, told_s: i64) {
        self.memcached_clock.store(offset_ms, Ordering::Relaxed);
        self.memcached_told.store(told_s, Ordering::Relaxed);
    }

    /// A Unix second that memcached's clock has reached: what it does from now on, it does not date before. The estimate of
    /// [`Shared::memcached_unix_ms`] is ahead of that clock, which memcached sets once a second, and later where it is
    /// busy.
    pub fn memcached_told_s(&self) -> i64 {
        self.memcached_told.load(Ordering::Relaxed)
    }

    /// memcached's Unix time in milliseconds.
    pub fn memcached_unix_ms(&self, now: Now) -> i64 {
        (now.mono_ms() as i64).saturating_add(self.memcached_clock.load(Ordering::Relaxed))
    }

    /// Notes what the memcached behind takes as a key.
    pub fn set_limits(&self, limits: &Limits) {
        self.nul_in_keys.store(limits.dialect == Dialect::Modern, Ordering::Relaxed);
    }

    /// Whether a key from the peer or a dump may be sent to memcached: one with a blank, a line feed, or a NUL where that
    /// ends a line, would be read as commands, if it is too long for base64.
    pub fn accepts_key(&self, key: &[u8]) -> bool {
        let nul = self.nul_in_keys.load(Ordering::Relaxed);
        needs_base64(key) || !key.iter().any(|byte| matches!(byte, b' ' | b'\n') || (*byte == 0 && !nul))
    }

    /// What a client's exptime means (memcached's protocol.txt, "Expiration times").
    pub fn expiry_of(&self, exptime: i64, now: Now) -> Expiry {
        let life_ms = match exptime {
            0 => return Expiry::Never,
            ..0 => 0,
            1..=RELATIVE_LIMIT => exptime * 1000,
            _ => exptime.saturating_mul(1000).saturating_sub(self.memcached_unix_ms(now)),
        };
        Expiry::At((now.mono_ms() as i64).saturating_add(life_ms.max(0)).max(1) as u64)
    }

    /// The exptime to give to memcached so that an item ends at `expiry`, rounded up to a second of its clock. It is
    /// absolute, so it is right however late memcached comes to it.
    pub fn exptime_of(&self, expiry: Expiry, now: Now) -> i64 {
        match expiry {
            Expiry::Never => 0,
            Expiry::At(ms) if ms <= now.mono_ms() => -1,
            Expiry::At(ms) => {
                let unix_ms =
                    (ms as i64).saturating_sub(now.mono_ms() as i64).saturating_add(self.memcached_unix_ms(now));
                unix_ms.saturating_add(999).div_euclid(1000)
            }
        }
    }

    /// memcached's `-I`.
    pub fn item_size_max(&self) -> u64 {
        self.item_size_max.load(Ordering::Relaxed)
    }

    /// Set when memcached was asked.
    pub fn set_item_size_max(&self, bytes: u64) {
        self.item_size_max.store(bytes, Ordering::Relaxed);
    }

    /// Ends one hold of a stripe and wakes who waits for it.
    pub fn release(&self, stripe: Stripe) {
        if let Some(next) = self.stripes.release(stripe) {
            self.wake.wake(next);
        }
    }

    /// Gives up a place in the queue for a stripe.
    pub fn relinquish(&self, stripe: Stripe, party: Party) {
        if let Some(next) = self.stripes.relinquish(stripe, party) {
            self.wake.wake(next);
        }
    }

    /// The party that drives replication.
    pub fn replicator(&self) -> Party {
        self.replicator
    }

    /// Wakes the replicator: there is something in the log or a request.
    pub fn wake_replicator(&self) {
        self.wake.wake(self.replicator);
    }

    /// Asks for a flush; the answer comes by [`Shared::take_flushed`].
    pub fn request_flush(&self, request: FlushRequest) {
        lock(&self.flush_requests).push(request);
        self.wake_replicator();
    }

    /// The flushes asked for.
    pub fn take_flush_requests(&self) -> Vec<FlushRequest> {
        std::mem::take(&mut *lock(&self.flush_requests))
    }

    /// Answers a flush.
    pub fn flush_done(&self, request: FlushRequest) {
        lock(&self.flushed).push(request);
        self.wake.wake(request.party);
    }

    /// The tokens of `party` whose flush is done.
    pub fn take_flushed(&self, party: Party) -> Vec<u64> {
        let mut flushed = lock(&self.flushed);
        let done = flushed.iter().filter(|r| r.party == party).map(|r| r.token).collect();
        flushed.retain(|r| r.party != party);
        done
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
