//! The conversation with the peer: greeting, batches of the log, acknowledgements, heartbeats.
//!
//! Each direction decides for itself how it goes on after a connection is made: the log where it was left (partial),
//! what is newer than the peer's watermark (incremental), or everything (full).

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use super::inbox::Batch;
use super::journal::{BEGUN, FILLED, NEEDS_ALL};
use super::log::Cursor;
use super::message::{Frame, FrameError, Hello, MARKS, MAX_FRAME, MAX_HELLO, PROTOCOL, Refusal, Wanted};
use super::record::{Expiry, Mark, Record, RecordError, ResyncKind};
use super::replicator::Replicator;
use super::resync::Plan;
use crate::clock::{Now, Version};
use crate::rules::Rule;
use crate::state::header::Field;
use crate::state::table::List;

/// A heartbeat is sent so often, in milliseconds.
pub(super) const HEARTBEAT_MS: u64 = 1000;
/// A peer that says nothing for so many milliseconds is gone.
const DEAD_MS: u64 = 5000;
/// The most samples of the lag, and of acknowledgements that wait for the other direction.
pub(super) const SAMPLES: usize = 4096;

/// The link cannot go on; the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// Its bytes are no frames.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A batch holds something else than records.
    #[error("a batch cannot be read: {0}")]
    Record(#[from] RecordError),
    /// This side refuses the other one.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The other side refuses this one.
    #[error("the peer refuses: {0}")]
    RefusedByPeer(Refusal),
    /// A frame that does not belong there.
    #[error("unexpected frame")]
    Unexpected,
    /// Nothing was heard for [`DEAD_MS`].
    #[error("the peer is silent")]
    Silent,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Our greeting is sent.
    Greeting,
    Open,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    pub(super) output: Vec<u8>,
    pub(super) peer: Option<Hello>,
    pub(super) heard_ms: u64,
    /// Frames of the peer on this connection.
    frames: u64,
    pub(super) beat_ms: u64,
    pub(super) cursor: Option<Cursor>,
    /// Entries of our log below this are applied by the peer.
    pub(super) acked: u64,
    /// Which (entry of ours, place in the peer's log): when we have applied the place, what is below the entry is settled.
    pub(super) settling: VecDeque<(u64, u64)>,
    /// Entries of our log below this can be freed.
    pub(super) settled: u64,
    /// Remote deletes below this can be freed.
    pub(super) trimmed: u64,
    pub(super) freeing: bool,
    pub(super) acknowledged: (u64, u64),
    /// Our watermarks by their place in the log, and the one that the peer has applied.
    pub(super) watermarks: VecDeque<(u64, Version)>,
    pub(super) watermark: Version,
    /// The ends of resyncs that are not acknowledged.
    pub(super) unconfirmed: VecDeque<(u64, Plan)>,
    /// When which entry was logged, for the lag.
    pub(super) samples: VecDeque<(u64, u64)>,
    pub(super) lag_us: Option<u64>,
    pub(super) lags: Vec<u64>,
    pub(super) sampled: u64,
    /// The floor of the last digest that was asked for, and how many entries had had to go by then.
    pub(super) digest_asked: (Version, u64),
    /// The content of the peer as far as its log has been applied.
    pub(super) peer_incarnation: u64,
    /// The peer asked for everything, and that has not begun.
    pub(super) owes_all: bool,
    /// Our greeting asked for everything.
    asked_for_all: bool,
    /// The content of the peer that a full resync was begun for.
    pub(super) filled: u64,
    skew_us: i64,
    /// Our monotonic clock less the peer's, in milliseconds.
    mono_difference: Option<i64>,
    failed: Option<LinkError>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed,
            output: Vec::new(),
            peer: None,
            heard_ms: 0,
            frames: 0,
            beat_ms: 0,
            cursor: None,
            acked: 0,
            settling: VecDeque::new(),
            settled: 0,
            trimmed: 0,
            freeing: false,
            acknowledged: (0, 0),
            watermarks: VecDeque::new(),
            watermark: Version::ZERO,
            unconfirmed: VecDeque::new(),
            samples: VecDeque::new(),
            lag_us: None,
            lags: Vec::new(),
            sampled: 0,
            digest_asked: (Version::ZERO, 0),
            peer_incarnation: 0,
            owes_all: false,
            asked_for_all: false,
            filled: 0,
            skew_us: 0,
            mono_difference: None,
            failed: None,
        }
    }
}

impl Replicator {
    /// A connection to the peer is made: the greeting is sent.
    pub fn link_opened(&mut self, now: Now) {
        let overflowed = self.shared.journal().overflowed;
        let hello = self.hello(now);
        let link = &mut self.link;
        link.digest_asked = (hello.floor, overflowed);
        link.asked_for_all = hello.wanted.is_none();
        (link.state, link.heard_ms, link.beat_ms, link.failed) = (State::Greeting, now.mono_ms(), now.mono_ms(), None);
        (link.peer, link.cursor, link.mono_difference, link.frames) = (None, None, None, 0);
        link.output.clear();
        Frame::Hello(hello).encode(&mut link.output);
    }

    /// The connection to the peer is gone.
    pub fn link_closed(&mut self) {
        self.link.state = State::Closed;
        self.link.output.clear();
        self.link.cursor = None;
        self.link.settling.clear();
    }

    /// Whether the peer has been greeted.
    pub fn is_linked(&self) -> bool {
        self.link.state == State::Open
    }

    /// Frames that the peer has sent since it was greeted, the greeting included; 0 without a link.
    pub fn link_frames(&self) -> u64 {
        if self.is_linked() { self.link.frames } else { 0 }
    }

    /// The peer's process, the number of its content, and whether it holds everything that is here but for what is on its
    /// way.
    pub fn linked(&self) -> Option<(u64, u64, bool)> {
        let peer = self.link.peer.as_ref().filter(|_| self.is_linked())?;
        let link = &self.link;
        let owes = link.owes_all || self.is_resyncing() || !link.unconfirmed.is_empty();
        let unsent = self.shared.journal().table().len_of(List::Unsent) > 0;
        Some((peer.boot, link.peer_incarnation, !owes && !unsent))
    }

    /// Brings the peer everything once more; whether there is one.
    pub fn resync_all(&mut self, now: Now) -> bool {
        if !self.is_linked() {
            return false;
        }
        let digest = self.resync_plan().and_then(|plan| plan.digest);
        self.resync_start(Plan { kind: ResyncKind::Full, newer_than: Some(Version::ZERO), digest }, now);
        self.turn(now);
        true
    }

    /// What the peer said of itself.
    pub fn peer(&self) -> Option<&Hello> {
        self.link.peer.as_ref()
    }

    /// Bytes for the peer; the shell takes them.
    pub fn link_output(&mut self) -> &mut Vec<u8> {
        &mut self.link.output
    }

    /// Whether bytes of the peer can be taken now.
    pub fn link_wants_input(&self) -> bool {
        !self.apply.is_full()
    }

    /// How old the youngest confirmed write was when it was confirmed, in microseconds; `None` while nothing is known.
    pub fn lag_us(&self) -> Option<u64> {
        self.link.lag_us
    }

    /// The lags measured since the last call, in microseconds.
    pub fn take_lags(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.link.lags)
    }

    /// The peer's wall clock less ours, in microseconds.
    pub fn clock_skew_us(&self) -> i64 {
        self.link.skew_us
    }

    /// Entries of the log that the peer has not confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.shared.journal().log.next().saturating_sub(self.link.acked.max(1))
    }

    fn hello(&self, now: Now) -> Hello {
        let clock = self.shared.next_version(now);
        let journal = self.shared.journal();
        let stored = (journal.number(Field::PeerLog), journal.number(Field::PeerNext));
        // What is in the queue will be applied.
        let (log, next) = self.apply.next().unwrap_or(stored);
        let wanted = log != 0 && journal.number(Field::Filling) != NEEDS_ALL;
        let (due, due_version) = journal.flush_due();
        let left = match due {
            Expiry::Never => 0,
            Expiry::At(ms) => ms.saturating_sub(now.mono_ms()).max(1),
        };
        let watermark = journal.version(Field::PeerWatermark);
        Hello {
            protocol: PROTOCOL,
            features: MARKS,
            pair_id: self.config.pair_id.clone(),
            replica: self.shared.clock.replica(),
            boot: self.config.boot,
            started: self.started,
            incarnation: journal.number(Field::Incarnation),
            clock,
            wall_us: now.wall_us,
            mono_ms: now.mono_ms(),
            wanted: wanted.then_some(Wanted { log, next, watermark }),
            floor: journal.version(Field::Floor),
            flush: self.shared.flush(),
            flush_due: (due_version, left),
        }
    }

    /// Bytes from the peer: returns how many are done with. To be called again with the rest when
    /// [`Replicator::link_wants_input`] and more has come or been applied.
    ///
    /// # Errors
    /// The connection is to be closed when the output is sent.
    pub fn link_input(&mut self, bytes: &[u8], now: Now) -> Result<usize, LinkError> {
        let mut at = 0;
        while self.link_wants_input() && self.link.state != State::Closed {
            let max = if self.link.state == State::Greeting { MAX_HELLO } else { MAX_FRAME };
            let Some((frame, len)) = Frame::decode(bytes.get(at..).unwrap_or_default(), max)? else { break };
            at += len;
            self.link.heard_ms = now.mono_ms();
            self.link.frames = self.link.frames.saturating_add(1);
            self.frame(frame, now)?;
        }
        self.turn(now);
        Ok(at)
    }

    fn frame(&mut self, frame: Frame<'_>, now: Now) -> Result<(), LinkError> {
        match (frame, &self.link.state) {
            (Frame::Refused(refusal), _) => Err(LinkError::RefusedByPeer(refusal)),
            (Frame::Hello(hello), State::Greeting) => self.greeted(hello, now),
            (Frame::Batch { first, count, now_ms, trim, records }, State::Open) => {
                self.batch(first, count, now_ms, records, now)?;
                self.trim(trim);
                Ok(())
            }
            (Frame::Ack { next, position }, State::Open) => {
                self.acked(next, position, now);
                Ok(())
            }
            (Frame::Heartbeat { clock, wall_us, mono_ms, trim }, State::Open) => {
                self.peer_clock(mono_ms, now);
                self.observe(clock);
                self.link.skew_us = wall_us.wrapping_sub(now.wall_us) as i64;
                self.trim(trim);
                Ok(())
            }
            (Frame::Unknown(_), State::Open) => Ok(()),
            _ => Err(LinkError::Unexpected),
        }
    }

    /// The peer's monotonic clock showed `mono_ms` when it sent what came now. The message that was the least time on its
    /// way tells the difference of the clocks best.
    fn peer_clock(&mut self, mono_ms: u64, now: Now) {
        let difference = (now.mono_ms() as i64).wrapping_sub(mono_ms as i64);
        self.link.mono_difference = Some(self.link.mono_difference.map_or(difference, |known| known.min(difference)));
    }

    fn observe(&self, version: Version) {
        if !self.shared.broken(Rule::ClockObserves) {
            self.shared.observe(version);
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> LinkError {
        Frame::Refused(refusal).encode(&mut self.link.output);
        LinkError::Refused(refusal)
    }

    fn greeted(&mut self, hello: Hello, now: Now) -> Result<(), LinkError> {
        if !hello.is_compatible() {
            return Err(self.refuse(Refusal::Protocol));
        }
        if hello.pair_id != self.config.pair_id {
            return Err(self.refuse(Refusal::Pair));
        }
        if hello.replica == self.shared.clock.replica() {
            return Err(self.refuse(Refusal::SameReplica));
        }
        self.observe(hello.clock);
        self.peer_clock(hello.mono_ms, now);
        self.link.state = State::Open;
        self.link.skew_us = hello.wall_us.wrapping_sub(now.wall_us) as i64;
        self.peer_log(&hello);
        let (version, left) = hello.flush_due;
        if version > Version::ZERO {
            let due = if left == 0 { Expiry::Never } else { Expiry::At(now.mono_ms() + left) };
            self.shared.journal().set_flush_due(version, due);
        }
        if hello.flush > self.shared.flush() {
            self.flush_wanted(hello.flush);
        }
        self.link.peer_incarnation = hello.incarnation;
        self.begin_sending(&hello, now);
        if self.link.asked_for_all {
            // Whatever came in between: the peer has given up what it was sending.
            self.shared.journal().set(Field::Filling, NEEDS_ALL);
            self.ask_for_all();
        }
        self.link.peer = Some(hello);
        self.progress_ms = now.mono_ms();
        Ok(())
    }

    /// Prepares for the peer's log.
    fn peer_log(&mut self, hello: &Hello) {
        let mut journal = self.shared.journal();
        if journal.number(Field::PeerLog) != hello.boot {
            journal.unsend_remote();
        }
        self.link.trimmed = 0;
        self.link.acknowledged = (0, 0);
    }

    /// memcached has lost its content while a link may be open.
    pub(super) fn link_content_lost(&mut self, incarnation: u64) {
        self.link.digest_asked = (Version::ZERO, 0);
        // A greeting that is on its way does not tell of it yet.
        if self.link.state != State::Closed {
            self.shared.journal().append_record(&Record::Mark(Mark::ContentLost(incarnation)));
        }
    }

    fn batch(&mut self, first: u64, count: u32, now_ms: u64, records: &[u8], now: Now) -> Result<(), LinkError> {
        let log = self.link.peer.as_ref().map_or(0, |peer| peer.boot);
        let mut offset = 0;
        let mut lens = Vec::new();
        while offset < records.len() {
            let (record, len) = Record::decode(records.get(offset..).unwrap_or_default())?;
            if let Record::Set { version, .. } | Record::Delete { version, .. } | Record::Touch { version, .. } = record
            {
                self.observe(version);
            }
            if let Record::Flush { version } | Record::FlushAt { version, .. } = record {
                self.observe(version);
            }
            lens.push((offset, len));
            offset += len;
        }
        if lens.len() != count as usize {
            return Err(LinkError::Unexpected);
        }
        self.peer_clock(now_ms, now);
        let arrived = (now_ms as i64).saturating_add(self.link.mono_difference.unwrap_or_default()).max(0) as u64;
        let batch = Arc::new(Batch { bytes: records.to_vec(), clocks: (now_ms, arrived) });
        for (index, (offset, len)) in lens.into_iter().enumerate() {
            self.apply.push(&batch, offset, len, (log, first + index as u64));
        }
        Ok(())
    }

    fn trim(&mut self, trim: u64) {
        if trim > self.link.trimmed {
            self.link.trimmed = trim;
            self.link.freeing = true;
        }
    }

    /// A mark of the peer: everything before it is applied.
    pub(super) fn link_mark(&mut self, mark: Mark, now: Now) {
        match mark {
            Mark::Watermark(version) => {
                let mut journal = self.shared.journal();
                let filled = journal.number(Field::Filling) == FILLED;
                if filled && version > journal.version(Field::PeerWatermark) {
                    journal.set(Field::PeerWatermark, version.raw());
                }
            }
            Mark::ResyncStart(kind, incarnation) => {
                self.progress_ms = now.mono_ms();
                let mut journal = self.shared.journal();
                let ours = journal.number(Field::Incarnation) == incarnation;
                if kind == ResyncKind::Full && ours && journal.number(Field::Filling) == NEEDS_ALL {
                    journal.set(Field::Filling, BEGUN);
                }
            }
            Mark::ResyncEnd(kind) => {
                let mut journal = self.shared.journal();
                if kind == ResyncKind::Full && journal.number(Field::Filling) == BEGUN {
                    journal.set(Field::Filling, FILLED);
                }
                self.synced |= journal.number(Field::Filling) == FILLED;
            }
            Mark::ContentLost(incarnation) => {
                self.link.peer_incarnation = incarnation;
                let known = std::mem::replace(&mut self.link.filled, incarnation) == incarnation;
                if !known && !self.shared.broken(Rule::NewIncarnationGetsAll) {
                    self.link.watermark = Version::ZERO;
                    self.link.watermarks.clear();
                    let floor = self.link.peer.as_ref().map(|peer| peer.floor).filter(|floor| *floor > Version::ZERO);
                    let digest = self.resync_plan().and_then(|plan| plan.digest).max(floor);
                    self.resync_start(Plan { kind: ResyncKind::Full, newer_than: Some(Version::ZERO), digest }, now);
                }
            }
            Mark::DigestWanted(version) => {
                let plan = self.resync_plan();
                let kind = plan.map_or(ResyncKind::Partial, |plan| plan.kind);
                let newer_than = plan.and_then(|plan| plan.newer_than);
                self.resync_start(Plan { kind, newer_than, digest: Some(version) }, now);
            }
            Mark::DigestEnd(version) => {
                let mut journal = self.shared.journal();
                if journal.version(Field::Floor) <= version {
                    journal.set(Field::Floor, 0);
                }
                self.link.digest_asked = (Version::ZERO, 0);
            }
        }
    }

    /// Everything that time or progress makes due.
    pub(super) fn link_turn(&mut self, now: Now) {
        self.free();
        if self.link.state != State::Open {
            if self.link.state == State::Greeting && now.mono_ms().saturating_sub(self.link.heard_ms) > DEAD_MS {
                self.link.failed = Some(LinkError::Silent);
            }
            return;
        }
        if !self.link_wants_input() {
            // Nobody listens, so silence says nothing.
            self.link.heard_ms = now.mono_ms();
        }
        if now.mono_ms().saturating_sub(self.link.heard_ms) > DEAD_MS {
            self.link.failed = Some(LinkError::Silent);
        }
        self.marks(now);
        self.send_log(now);
        self.send_ack();
    }

    /// Why the link has to be closed, where nothing came that says so.
    pub fn link_failed(&mut self) -> Option<LinkError> {
        self.link.failed.take()
    }
}
