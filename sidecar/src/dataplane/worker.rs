//! One worker: its clients, and the one pipelined connection to memcached that they share.
//!
//! The shell feeds bytes and takes bytes; after each call it looks at [`Worker::upstream_output`] and
//! [`Worker::take_touched`]. Requests of all clients that are ready in one turn go upstream in one write.

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;
use thiserror::Error;

use super::answer::{self, Outcome};
use super::changes::Changes;
use super::expect::{Expected, Hold, SessionId, What};
use super::login::{Entry, Logins, Progress};
use super::queue::ByteQueue;
use super::reconnect::Orphan;
use super::session::{ANSWER, Session, State, Then};
use super::stripes::{Mode, Party, Stripe, Turn};
use super::values::Rest;
use crate::auth::Gate;
use crate::clock::{Now, Version};
use crate::guess::Guess;
use crate::protocol::binary::{self, Status};
use crate::protocol::reply::Farewell;
use crate::protocol::response::ResponseError;
use crate::protocol::{Limits, Parser, Step};
use crate::rules::Rule;
use crate::shared::{FlushRequest, Shared};
use crate::stats::ProtocolLabel;

/// The connection to memcached cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UpstreamError {
    /// Its bytes are no answers of memcached.
    #[error("memcached's answer cannot be read: {0}")]
    Response(#[from] ResponseError),
    /// An answer of the wrong kind.
    #[error("memcached's answer is not one to the command sent")]
    Unexpected,
}

/// What memcached holds after a reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// What it held before.
    Same,
    /// Nothing of it.
    New,
}

/// Writes the answer to `stats replication`.
#[derive(Clone)]
pub struct StatsText(pub Arc<dyn Fn() -> Vec<u8> + Send + Sync>);

impl std::fmt::Debug for StatsText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StatsText")
    }
}

/// See the module.
#[derive(Debug)]
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) party: Party,
    pub(super) sessions: Slab<Session>,
    generation: u32,
    pub(super) limits: Option<Limits>,
    pub(super) upstream: Vec<u8>,
    /// What is written to it until it is sent.
    turn: Turn,
    pub(super) expected: VecDeque<Expected>,
    /// What follows of the hit that comes in pieces; it belongs to the first of those expected.
    pub(super) rest: Option<Rest>,
    /// The records of the writes in flight, in their order.
    pub(super) records: ByteQueue,
    /// Their versions; the first is the oldest.
    pub(super) versions: VecDeque<Version>,
    pub(super) orphans: Vec<Orphan>,
    waiting: Vec<(Stripe, SessionId)>,
    touched: Vec<SessionId>,
    /// Those whose read-back is not in the journal.
    pub(super) changes: Changes,
    /// Whose answer is being dealt with.
    pub(super) answering: SessionId,
    /// The item before the command that makes it stale, whose answer is next.
    pub(super) peeked: Option<Box<super::peek::Peeked>>,
    /// The replicator is to be told that there is something in the log.
    pub(super) logged: bool,
    /// The values that clients read.
    pub(super) value: Guess,
    /// Answers `stats replication`.
    stats: StatsText,
    /// Whom clients have to be; `None` asks nobody.
    pub(super) gate: Option<Arc<Gate>>,
    /// What it has seen.
    pub logins: Logins,
    /// Commands taken since the start, by [`ProtocolLabel`] and [`super::request::KINDS`].
    pub commands: [[u64; super::request::KINDS.len()]; ProtocolLabel::ALL.len()],
    #[cfg(feature = "simulation")]
    pub(super) late: Vec<(Hold, Vec<u8>)>,
}

impl Worker {
    /// A worker without clients and without a connection to memcached. `stats` writes the answer to `stats replication`.
    pub fn new(shared: Arc<Shared>, party: Party, stats: StatsText) -> Self {
        Self {
            shared,
            party,
            sessions: Slab::new(),
            generation: 0,
            limits: None,
            upstream: Vec::new(),
            turn: Turn::NONE.next(),
            expected: VecDeque::new(),
            rest: None,
            records: ByteQueue::default(),
            versions: VecDeque::new(),
            orphans: Vec::new(),
            waiting: Vec::new(),
            touched: Vec::new(),
            changes: Changes::default(),
            answering: SessionId::NOBODY,
            value: ANSWER,
            logged: false,
            peeked: None,
            stats,
            gate: None,
            logins: Logins::default(),
            commands: [[0; super::request::KINDS.len()]; ProtocolLabel::ALL.len()],
            #[cfg(feature = "simulation")]
            late: Vec::new(),
        }
    }

    /// Clients that connect from now on have to say who they are.
    pub fn guard(&mut self, gate: Arc<Gate>) {
        self.gate = Some(gate);
    }

    /// A client has connected.
    pub fn open(&mut self) -> SessionId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let mut session = Session::new(generation);
        if self.gate.is_some() {
            session.entry = Entry::Unknown;
        }
        let index = self.sessions.insert(session) as u32;
        SessionId { index, generation }
    }

    /// A client is gone; answers to it are dropped.
    pub fn close(&mut self, id: SessionId) {
        if self.session(id).is_some() {
            let session = self.sessions.remove(id.index as usize);
            if let Some(inspected) = session.inspected {
                self.release(inspected.stripe);
            }
        }
    }

    /// The client connection, while it is open.
    pub fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(id.index as usize).filter(|s| s.generation == id.generation)
    }

    /// Client connections.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// All client connections.
    pub fn session_ids(&self) -> Vec<SessionId> {
        let id = |(index, s): (usize, &Session)| SessionId { index: index as u32, generation: s.generation };
        self.sessions.iter().map(id).collect()
    }

    /// Bytes from a client.
    pub fn client_input(&mut self, id: SessionId, bytes: &[u8], now: Now) {
        let Some(session) = self.session(id) else { return };
        if session.input.is_empty() {
            let consumed = self.run(id, bytes, now);
            if let Some(session) = self.session(id) {
                session.input.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
            }
        } else {
            session.input.extend_from_slice(bytes);
            if session.input.len() >= session.need {
                self.pump(id, now);
            }
        }
    }

    /// The shell has taken output: requests that waited for that may go on.
    pub fn output_taken(&mut self, id: SessionId, now: Now) {
        self.resume(id, now);
    }

    /// Bytes for memcached; the shell takes them. They count as sent from here on.
    pub fn upstream_output(&mut self) -> &mut Vec<u8> {
        if !self.upstream.is_empty() {
            self.turn = self.turn.next();
        }
        self.changes.sent();
        &mut self.upstream
    }

    /// How many bytes there are for memcached.
    pub fn upstream_len(&self) -> usize {
        self.upstream.len()
    }

    /// Wakes the replicator if something was logged. The shell calls this when the clients have their answers: they do not
    /// wait for the core on which the link thread would run then.
    pub fn tell_replicator(&mut self) {
        if std::mem::take(&mut self.logged) {
            self.shared.wake_replicator();
        }
    }

    /// Commands that memcached has not answered.
    pub fn in_flight(&self) -> usize {
        self.expected.len()
    }

    /// Clients that wait until somebody else is done with a stripe.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What is known of memcached, while the connection to it is up.
    pub fn limits(&self) -> Option<&Limits> {
        self.limits.as_ref()
    }

    /// Whether the connection to memcached is up.
    pub fn is_connected(&self) -> bool {
        self.limits.is_some()
    }

    /// The clients with new output, a private command, or an end.
    pub fn take_touched(&mut self) -> Vec<SessionId> {
        let mut touched = Vec::new();
        self.swap_touched(&mut touched);
        touched
    }

    /// The same without giving memory away: `touched`, which must be empty, is exchanged for the list.
    pub fn swap_touched(&mut self, touched: &mut Vec<SessionId>) {
        std::mem::swap(&mut self.touched, touched);
        for id in touched {
            if let Some(session) = self.session(*id) {
                session.touched = false;
            }
        }
    }

    pub(super) fn touched_at(&self, index: usize) -> Option<SessionId> {
        self.touched.get(index).copied()
    }

    /// Somebody released a stripe that was waited for, or a flush is done.
    pub fn woken(&mut self, now: Now) {
        for token in self.shared.take_flushed(self.party) {
            let id = SessionId { index: token as u32, generation: (token >> 32) as u32 };
            let Some(session) = self.session(id).filter(|s| s.state == State::Flushing) else { continue };
            session.state = State::Open;
            answer::write(&mut session.output, session.flush_to, &Outcome::Flushed);
            self.touch(id);
            self.pump(id, now);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (stripe, id) in &waiting {
            if let Some(session) = self.session(*id).filter(|s| s.state == State::Waiting(*stripe)) {
                session.state = State::Open;
                self.pump(*id, now);
            }
        }
        for (stripe, _) in waiting {
            if !self.waiting.iter().any(|(other, _)| *other == stripe) {
                self.shared.relinquish(stripe, self.party);
            }
        }
    }

    /// Takes requests from the input of a session as far as it goes.
    pub(super) fn pump(&mut self, id: SessionId, now: Now) {
        let Some(session) = self.session(id) else { return };
        if session.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut session.input);
        let consumed = self.run(id, &input, now);
        if let Some(session) = self.session(id) {
            input.drain(..consumed);
            if input.is_empty() && input.capacity() > 4096 {
                input = Vec::new();
            }
            session.input = input;
        }
    }

    /// Takes requests from `bytes`, which start with the first one not consumed; returns how many bytes are done with.
    fn run(&mut self, id: SessionId, bytes: &[u8], now: Now) -> usize {
        let Some(limits) = self.limits else { return 0 };
        let mut at = 0;
        loop {
            let Some(session) = self.session(id) else { return at };
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() || !session.takes_requests() {
                return at;
            }
            session.need = 0;
            let session = if session.entry == Entry::Open {
                session
            } else {
                match self.login(id, rest, &limits) {
                    Progress::Consumed(len) => {
                        at += len;
                        continue;
                    }
                    Progress::Stopped => return at,
                    Progress::Parser => {}
                }
                let Some(session) = self.session(id) else { return at };
                session
            };
            let before = session.parser.clone();
            match session.parser.step(rest, &limits) {
                Step::Incomplete { need } => {
                    session.need = need;
                    return at;
                }
                Step::Answer { reply, consumed } => {
                    at += consumed;
                    if !reply.is_empty() {
                        self.say(id, What::Local(reply));
                    }
                }
                Step::Close { farewell, consumed } => {
                    self.end(id, farewell);
                    return at + consumed;
                }
                Step::Request { request, consumed } => {
                    let pipelined = at > 0;
                    let done = self.execute(id, &request, pipelined, now);
                    match self.executed(id, done, before, now) {
                        true => at += consumed,
                        false => return at,
                    }
                }
                Step::Binary { request, consumed } => {
                    let done = self.execute_binary(id, &request, now);
                    match self.executed(id, done, before, now) {
                        true => at += consumed,
                        false => return at,
                    }
                }
            }
        }
    }

    /// Notes what became of a request; whether it is taken. `before`: the parser before it.
    #[inline]
    fn executed(&mut self, id: SessionId, done: Done, before: Parser, now: Now) -> bool {
        let Some(session) = self.session(id) else { return true };
        match done {
            Done::Taken => session.keys_done = 0,
            Done::TakenThen(state) => {
                session.keys_done = 0;
                session.state = state;
                self.resume_drained(id, now);
            }
            Done::Again(state) => {
                session.parser = before;
                session.state = state;
                return false;
            }
        }
        true
    }

    /// Goes on with a session for which something changed.
    pub(super) fn resume(&mut self, id: SessionId, now: Now) {
        self.resume_drained(id, now);
        if self.session(id).is_some_and(|s| s.takes_requests()) {
            self.pump(id, now);
        }
    }

    fn resume_drained(&mut self, id: SessionId, now: Now) {
        let (party, token) = (self.party, u64::from(id.generation) << 32 | u64::from(id.index));
        let Some(session) = self.session(id) else { return };
        if session.in_flight > 0 {
            return;
        }
        let State::Draining(then) = &session.state else { return };
        match then.clone() {
            Then::MoreKeys => {
                if session.output.len() < super::session::OUTPUT_HIGH {
                    session.state = State::Open;
                }
            }
            Then::Flush { exptime, to } => {
                session.state = State::Flushing;
                session.flush_to = to;
                let due = match exptime {
                    ..=0 => crate::replication::record::Expiry::Never,
                    later => self.shared.expiry_of(i64::from(later), now),
                };
                self.shared.request_flush(FlushRequest { party, token, due });
            }
            Then::Private(command) => {
                session.state = State::Private;
                session.private = Some(command);
                self.touch(id);
            }
        }
    }

    /// The private command of a session is done; its answer is in the output.
    pub fn private_done(&mut self, id: SessionId, now: Now) {
        if let Some(session) = self.session(id).filter(|s| s.state == State::Private) {
            session.state = State::Open;
            self.touch(id);
            self.resume(id, now);
        }
    }

    /// Queues what the client gets in its turn.
    pub(super) fn say(&mut self, id: SessionId, what: What) {
        let Some(session) = self.session(id) else { return };
        if session.in_flight == 0 {
            self.tell(id, what);
        } else {
            session.in_flight += 1;
            self.expected.push_back(Expected { session: id, what });
        }
    }

    /// No more requests are taken, and the connection is closed when all is answered.
    pub(super) fn end(&mut self, id: SessionId, farewell: Farewell) {
        if let Some(session) = self.session(id) {
            session.state = State::Draining(Then::MoreKeys);
        }
        self.say(id, What::Close(farewell));
    }

    /// Carries out something that needs no answer from memcached.
    pub(super) fn tell(&mut self, id: SessionId, what: What) {
        let Some(session) = self.session(id) else { return };
        match what {
            What::Returned => session.giving_back = session.giving_back.saturating_sub(1),
            What::Local(bytes) => session.output.extend_from_slice(bytes),
            What::LocalText(bytes) => session.output.extend_from_slice(&bytes),
            What::Packet(tag, Status::Ok) => binary::answer::success(&mut session.output, tag, 0),
            What::Packet(tag, status) => binary::answer::error(&mut session.output, tag, status),
            What::Close(farewell) => {
                farewell.write_to(&mut session.output);
                session.state = State::Closing;
                session.input = Vec::new();
            }
            _ => {}
        }
        self.touch(id);
    }

    pub(super) fn touch(&mut self, id: SessionId) {
        if let Some(session) = self.session(id).filter(|s| !s.touched) {
            session.touched = true;
            self.touched.push(id);
        }
    }

    /// Sends `what` to memcached's queue; its bytes are in the upstream buffer.
    pub(super) fn expect(&mut self, id: SessionId, what: What) {
        if let Some(session) = self.session(id) {
            session.in_flight += 1;
        }
        self.expected.push_back(Expected { session: id, what });
    }

    /// Takes the stripe and then a version for a write of `key`; `None`: the session has to wait.
    pub(super) fn hold(&mut self, id: SessionId, key: &[u8], mode: Mode, now: Now) -> Result<Hold, Done> {
        let hash = self.shared.hasher.hash(key);
        let stripe = self.shared.stripes.of(hash);
        let inspected = self.session(id).and_then(|s| s.inspected.take());
        if inspected.is_none() && !self.take_stripe(stripe, mode) {
            self.waiting.push((stripe, id));
            return Err(Done::Again(State::Waiting(stripe)));
        }
        if self.versions.is_empty() {
            self.shared.writes_begin(self.party);
        }
        let version = self.shared.next_version(now);
        self.versions.push_back(version);
        self.shared.stripes.wrote(stripe, version);
        Ok(Hold { stripe, hash, version, record: 0 })
    }

    fn take_stripe(&self, stripe: Stripe, mode: Mode) -> bool {
        self.shared.broken(Rule::StripesOrderWrites) || self.shared.stripes.acquire(stripe, self.party, mode, self.turn)
    }

    pub(super) fn release(&self, stripe: Stripe) {
        if !self.shared.broken(Rule::StripesOrderWrites) {
            self.shared.release(stripe);
        }
    }

    /// Tells the others which of our writes is the oldest that is not in the journal.
    pub(super) fn publish_pending(&self) {
        self.shared.writes_pending(self.party, self.versions.front().copied());
    }

    #[inline]
    pub(super) fn count(&mut self, protocol: ProtocolLabel, kind: usize) {
        if let Some(count) = self.commands.get_mut(protocol as usize).and_then(|kinds| kinds.get_mut(kind)) {
            *count += 1;
        }
    }

    pub(super) fn replication_stats(&self) -> Vec<u8> {
        (self.stats.0)()
    }
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Done {
    /// It is on its way or answered.
    Taken,
    /// The same, and the session changes.
    TakenThen(State),
    /// It stays at the front of the input until the session is open again.
    Again(State),
}
