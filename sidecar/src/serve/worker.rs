//! The thread of one worker, and what is done with a client after something happened.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::accept;
use super::budget::{Budget, CLIENT_OUTPUT_MAX, CLIENT_STALL_MAX};
use super::busy::{self, Activity};
use super::client::{Client, Conversation};
use super::handshake::Handshakes;
use super::private;
use super::upstream::{self, Connection};
use crate::clock::Now;
use crate::config::Upstream;
use crate::dataplane::expect::SessionId;
use crate::dataplane::worker::Worker;
use crate::life::messages::{Event, ToWorker};
use crate::net::stream::Stream;
use crate::signal::Signals;
use crate::standstill::Standstill;
use crate::stats::{CommandLabel, Stats, WorkerStats};
use crate::time::HostClock;

/// Bytes read from a client at once; one buffer for all clients of a thread.
pub(super) const SCRATCH: usize = 64 << 10;
/// Smaller changes of what a client costs are not told to the other workers: most requests are answered at once.
const ACCOUNTED: usize = 4 << 10;
/// Capacity that a client's output keeps while it is busy.
const OUTPUT_KEEP: usize = 128 << 10;
/// Bytes waiting for memcached above which no client is read, since memcached itself is behind.
pub(super) const UPSTREAM_HIGH: usize = 4 << 20;
/// A client that did nothing for so many seconds gives back the memory kept for its next request.
const IDLE_S: u32 = 2;
/// How often clients are looked at that do nothing.
const TICK: Duration = Duration::from_secs(1);
/// How long requests in flight may take when the program ends.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// What a worker thread is made of.
#[derive(Debug)]
pub struct Parts {
    /// The pure worker.
    pub core: Worker,
    /// Its number, which is also its party's.
    pub index: usize,
    /// The clocks.
    pub clock: HostClock,
    /// Where it counts.
    pub stats: Arc<Stats>,
    /// Bounds shared by all workers.
    pub budget: Arc<Budget>,
    /// The memcached behind, for private connections.
    pub memcached: Upstream,
    /// Wakes it.
    pub signals: Arc<Signals>,
    /// What it is told.
    pub commands: mpsc::UnboundedReceiver<ToWorker>,
    /// Whom it tells.
    pub events: mpsc::UnboundedSender<Event>,
    /// Clients that come over TCP speak TLS.
    pub tls: Option<Handshakes>,
    /// How long it looks for what comes next before it sleeps.
    pub busy_poll: Duration,
}

/// What the tasks of a worker thread share.
#[derive(Debug)]
pub struct Serving {
    me: Weak<Serving>,
    /// The pure worker.
    pub core: RefCell<Worker>,
    /// Its number.
    pub index: usize,
    /// The clocks.
    pub clock: HostClock,
    /// Bounds shared by all workers.
    pub budget: Arc<Budget>,
    /// The memcached behind.
    pub memcached: Upstream,
    stats: Arc<Stats>,
    events: mpsc::UnboundedSender<Event>,
    /// By the index of their sessions.
    clients: RefCell<Vec<Option<Rc<Client>>>>,
    scratch: RefCell<Box<[u8]>>,
    touched: RefCell<Vec<SessionId>>,
    /// Clients that are not read since memcached is behind.
    starved: RefCell<Vec<SessionId>>,
    upstream: RefCell<Option<Rc<Connection>>>,
    /// Connections for private commands that are free.
    pub spare: RefCell<Vec<Stream>>,
    finishing: Cell<bool>,
    /// Rises when all clients are closed: who was about to be one then is not served.
    pub epoch: Cell<u64>,
    /// Clients that come over TCP speak TLS.
    pub tls: Option<Handshakes>,
    /// When the log last told that a client was cut, in seconds of the monotonic clock.
    told_cut_s: Cell<u32>,
    /// Notices when this thread did not run.
    pub(super) standstill: Cell<Standstill>,
    /// When it did, in microseconds of the monotonic clock: no client is taken until it is known who this process is.
    pub(super) unsure_us: Cell<Option<u64>>,
    /// When there was something to do.
    pub(super) activity: Activity,
}

/// Runs a worker until it is told to finish and has.
pub async fn run(parts: Parts) {
    let Parts { core, index, clock, stats, budget, memcached, signals, mut commands, events, tls, busy_poll } = parts;
    let serving = Rc::new_cyclic(|me| Serving {
        me: Weak::clone(me),
        core: RefCell::new(core),
        index,
        clock,
        budget,
        memcached,
        stats,
        events,
        clients: RefCell::default(),
        scratch: RefCell::new(vec![0; SCRATCH].into()),
        touched: RefCell::default(),
        starved: RefCell::default(),
        upstream: RefCell::default(),
        spare: RefCell::default(),
        finishing: Cell::new(false),
        epoch: Cell::new(0),
        tls,
        told_cut_s: Cell::new(0),
        standstill: Cell::new(Standstill::new(clock.now(), clock.asleep_us())),
        unsure_us: Cell::new(None),
        activity: Activity::default(),
    });
    if !busy_poll.is_zero() {
        spawn_local(busy::stay_awake(Rc::clone(&serving), busy_poll));
    }
    spawn_local(woken(Rc::clone(&serving), signals));
    spawn_local(pressed(Rc::clone(&serving)));
    spawn_local(tick(Rc::clone(&serving)));
    let mut listening = accept::Listening::default();
    while let Some(command) = commands.recv().await {
        // What it says may be older than a standstill.
        serving.now();
        match command {
            ToWorker::Connect { stream, limits, content, done } => {
                let attached = stream.attach().map_err(|error| error.to_string());
                let _ = done.send(attached.map(|stream| upstream::connected(&serving, stream, limits, content)));
            }
            ToWorker::Disconnect { done } => {
                if let Some(connection) = serving.connection() {
                    serving.give_up(&connection);
                }
                let _ = done.send(());
            }
            ToWorker::Listen { listeners, known_us } => {
                if serving.is_sure_since(known_us) {
                    listening.start(&serving, listeners);
                }
            }
            ToWorker::Close { done } => {
                listening.stop(false).await;
                serving.close_all();
                let _ = done.send(());
            }
            ToWorker::Finish { done } => {
                listening.stop(true).await;
                finish(&serving).await;
                let _ = done.send(());
            }
        }
    }
}

async fn woken(serving: Rc<Serving>, signals: Arc<Signals>) {
    let Some(signal) = signals.of(serving.index) else { return };
    loop {
        signal.raised().await;
        let now = serving.now();
        serving.core.borrow_mut().woken(now);
        serving.settle(now);
    }
}

async fn pressed(serving: Rc<Serving>) {
    loop {
        serving.budget.pressed(serving.index).await;
        serving.relieve();
    }
}

async fn tick(serving: Rc<Serving>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        serving.now();
        serving.look_after_idle();
        serving.publish();
    }
}

/// Answers what is asked already, and closes every connection.
async fn finish(serving: &Rc<Serving>) {
    serving.finishing.set(true);
    let now = serving.now();
    for client in serving.all() {
        client.ended.set(true);
        serving.attend(client.id, now);
    }
    serving.settle(now);
    let all_done = async {
        while !serving.all().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(FINISH_MAX, all_done).await.is_err() {
        serving.close_all();
    }
}

impl Serving {
    /// Where this worker counts.
    pub fn stats(&self) -> Option<&WorkerStats> {
        self.stats.workers.get(self.index)
    }

    fn count(&self, count: impl FnOnce(&WorkerStats)) {
        if let Some(stats) = self.stats() {
            count(stats);
        }
    }

    /// A client has connected.
    pub fn open(&self, stream: Stream) {
        let now = self.now();
        if self.is_unsure() {
            return self.budget.disconnect();
        }
        let id = self.core.borrow_mut().open();
        let client = Rc::new(Client::new(id, stream, seconds(now)));
        let mut clients = self.clients.borrow_mut();
        let index = id.index as usize;
        if clients.len() <= index {
            clients.resize_with(index + 1, || None);
        }
        if let Some(slot) = clients.get_mut(index) {
            *slot = Some(Rc::clone(&client));
        }
        client.ended.set(self.finishing.get());
        self.count(|stats| {
            stats.connections.add(1);
            stats.connections_accepted.add(1);
        });
        if let Some(me) = self.me.upgrade() {
            spawn_local(Conversation::new(me, client));
        }
    }

    /// The client with this session, while it is connected.
    pub fn client(&self, id: SessionId) -> Option<Rc<Client>> {
        self.clients.borrow().get(id.index as usize)?.as_ref().filter(|client| client.id == id).cloned()
    }

    fn all(&self) -> Vec<Rc<Client>> {
        self.clients.borrow().iter().flatten().cloned().collect()
    }

    /// The connection of a client is over.
    pub fn close(&self, id: SessionId) {
        let Some(client) = self.client(id) else { return };
        if let Some(slot) = self.clients.borrow_mut().get_mut(id.index as usize) {
            *slot = None;
        }
        self.core.borrow_mut().close(id);
        self.budget.account(self.index, client.accounted.take(), 0);
        self.budget.disconnect();
        self.count(|stats| stats.connections.sub(1));
        client.gone.set(true);
        client.wake();
        client.wake_private();
    }

    fn cut(&self, client: &Client, why: &str) {
        // A line a second, since a bound that is reached is reached by many.
        let now_s = seconds(self.clock.now());
        if self.told_cut_s.replace(now_s) == now_s {
            tracing::debug!(why, "client cut");
        } else {
            tracing::info!(why, "client cut");
        }
        self.count(|stats| stats.connections_cut.add(1));
        self.close(client.id);
    }

    pub(super) fn close_all(&self) {
        self.epoch.set(self.epoch.get() + 1);
        for client in self.all() {
            self.count(|stats| stats.connections_cut.add(1));
            self.close(client.id);
        }
    }

    /// Whether a client is to be read now. One that is not since memcached is behind is woken when that is over.
    pub fn wants_input(&self, client: &Client) -> bool {
        let mut core = self.core.borrow_mut();
        if !core.session(client.id).is_some_and(|session| session.wants_input()) {
            return false;
        }
        let full = core.upstream_len() > UPSTREAM_HIGH;
        if full {
            self.starved.borrow_mut().push(client.id);
        }
        !full
    }

    /// Reads from a client; whether there may be more.
    pub fn read(&self, client: &Client) -> bool {
        let mut scratch = self.scratch.borrow_mut();
        let read = self.read_into_session(client).unwrap_or_else(|| {
            client.stream.try_read(&mut scratch).map(|len| len.map(|len| (len, scratch.len(), false)))
        });
        let (len, room, taken) = match read {
            Ok(None) => return false,
            Ok(Some((0, ..))) => {
                drop(scratch);
                client.ended.set(true);
                self.attend_alone(client.id);
                return false;
            }
            Ok(Some(read)) => read,
            Err(_) => {
                drop(scratch);
                self.close(client.id);
                return false;
            }
        };
        let now = self.now();
        if client.gone.get() {
            return false;
        }
        self.activity.noted(now.mono_us);
        {
            let mut core = self.core.borrow_mut();
            let bytes = if taken { &[] } else { scratch.get(..len).unwrap_or_default() };
            core.client_input(client.id, bytes, now);
            if let Some(session) = core.session(client.id) {
                self.account(client, session.memory() + client.stream.memory());
            }
        }
        client.moved_s.set(seconds(now));
        self.count(|stats| stats.client_bytes_received.add(len as u64));
        drop(scratch);
        self.settle(now);
        len == room
    }

    /// Reads more of a long value to where the rest of it is, so that it is not copied there. Bytes read, the room there
    /// was, and that the session has them; `None`: nothing long is on its way.
    fn read_into_session(&self, client: &Client) -> Option<std::io::Result<Option<(usize, usize, bool)>>> {
        if matches!(client.stream, Stream::Tls(_)) {
            return None;
        }
        let mut core = self.core.borrow_mut();
        let input = core.session(client.id)?.long_input()?;
        let room = input.capacity() - input.len();
        Some(client.stream.try_append(input).map(|len| len.map(|len| (len, room, true))))
    }

    fn account(&self, client: &Client, memory: usize) {
        let before = client.accounted.get();
        if before.abs_diff(memory) >= ACCOUNTED {
            client.accounted.set(memory);
            self.budget.account(self.index, before, memory);
            if memory > before && self.budget.is_exceeded() {
                self.budget.relieve();
            }
        }
    }

    /// Does what is to be done for every client for which something changed, and sends to memcached at the end of this
    /// turn.
    pub fn settle(&self, now: Now) {
        loop {
            let mut touched = self.touched.take();
            self.core.borrow_mut().swap_touched(&mut touched);
            let more = !touched.is_empty();
            for id in touched.drain(..) {
                self.attend(id, now);
            }
            self.touched.replace(touched);
            if !more {
                break;
            }
        }
        self.core.borrow_mut().tell_replicator();
        if self.core.borrow().upstream_len() > 0
            && let Some(connection) = self.upstream.borrow().as_ref()
        {
            connection.wake_writer();
        }
    }

    /// [`Serving::attend`] and what follows from it.
    pub fn attend_alone(&self, id: SessionId) {
        let now = self.now();
        self.attend(id, now);
        self.settle(now);
    }

    /// Sends a client what is there for it, and what follows from that.
    fn attend(&self, id: SessionId, now: Now) {
        let Some(client) = self.client(id) else { return };
        let Ok(finished) = self.send(&client, now) else { return self.close(id) };
        let mut core = self.core.borrow_mut();
        let Some(session) = core.session(id) else { return };
        let left = client.sent.borrow().left(session.output());
        if left as u64 > CLIENT_OUTPUT_MAX as u64 + core.limits().map_or(0, |limits| limits.item_size_max) {
            drop(core);
            return self.cut(&client, "it takes no answers");
        }
        core.output_taken(id, now);
        let Some(session) = core.session(id) else { return };
        self.account(&client, session.memory() + client.stream.memory());
        let private = session.take_private();
        let closing = session.closing() || client.last_words.get() || client.ended.get() && session.is_idle();
        let wants_input = session.wants_input();
        let closing = closing && session.output().is_empty();
        drop(core);
        if closing {
            return self.close(id);
        }
        if let (Some(command), Some(me)) = (private, self.me.upgrade()) {
            spawn_local(private::carry_out(me, Rc::clone(&client), command));
        }
        if wants_input && client.paused.get() {
            client.wake();
        }
        if finished {
            client.wake_private();
        }
    }

    /// Writes to a client; whether nothing is left.
    fn send(&self, client: &Client, now: Now) -> std::io::Result<bool> {
        let mut core = self.core.borrow_mut();
        let Some(session) = core.session(client.id) else { return Ok(true) };
        if client.blocked.get() || session.is_withheld() {
            return Ok(false);
        }
        let output = session.output();
        let len = client.sent.borrow_mut().flush(&client.stream, output, OUTPUT_KEEP)?;
        if len > 0 {
            client.moved_s.set(seconds(now));
            self.count(|stats| stats.client_bytes_sent.add(len as u64));
        }
        if output.is_empty() {
            return Ok(true);
        }
        client.blocked.set(true);
        client.wake();
        Ok(false)
    }

    /// Writes to a client for which nothing waits; returns how much its socket took. What it did not take, and what is
    /// wrong with it, comes up when the rest is sent.
    pub(super) fn send_direct(&self, id: SessionId, bytes: &[u8], now: Now) -> usize {
        let Some(client) = self.client(id).filter(|client| !client.blocked.get()) else { return 0 };
        let len = client.stream.try_write(bytes).unwrap_or(0);
        if len > 0 {
            client.moved_s.set(seconds(now));
            self.count(|stats| stats.client_bytes_sent.add(len as u64));
        }
        len
    }

    /// The connection to memcached in use.
    pub fn connection(&self) -> Option<Rc<Connection>> {
        self.upstream.borrow().clone()
    }

    /// A connection to memcached is there.
    pub fn use_connection(&self, connection: Rc<Connection>) {
        self.count(|stats| stats.upstream_connections.set(1));
        *self.upstream.borrow_mut() = Some(connection);
    }

    /// Wakes all clients that are not read now.
    pub fn wake_paused(&self) {
        for client in self.all().iter().filter(|client| client.paused.get()) {
            client.wake();
        }
    }

    /// memcached has caught up: clients are read again.
    pub fn feed(&self) {
        for id in self.starved.take() {
            if let Some(client) = self.client(id) {
                client.wake();
            }
        }
    }

    /// The connection to memcached is of no more use.
    pub fn lost(&self, connection: &Rc<Connection>, why: &str) {
        if self.give_up(connection) {
            tracing::warn!(worker = self.index, "connection to memcached lost: {why}");
            self.count(|stats| stats.upstream_lost.add(1));
            self.tell(Event::Lost { party: self.index });
        }
    }

    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Closes a connection to memcached; `false` if it is not the one in use.
    fn give_up(&self, connection: &Rc<Connection>) -> bool {
        let current = self.upstream.borrow().as_ref().is_some_and(|current| Rc::ptr_eq(current, connection));
        connection.close();
        if current {
            self.upstream.take();
            self.spare.take();
            self.count(|stats| stats.upstream_connections.set(0));
            let now = self.now();
            self.core.borrow_mut().upstream_lost();
            self.settle(now);
        }
        current
    }

    /// Cuts clients until the memory of all is within its bound, or no client of this worker is worth it.
    fn relieve(&self) {
        let now_s = seconds(self.clock.now());
        while self.budget.is_exceeded() {
            // Who holds much and has not moved for long goes first.
            let cost = |client: &Rc<Client>| {
                let still_s = now_s.saturating_sub(client.moved_s.get()) as usize;
                client.accounted.get().saturating_mul(1 + still_s)
            };
            let Some(worst) = self.all().into_iter().max_by_key(cost).filter(|client| client.accounted.get() > 0)
            else {
                break;
            };
            self.cut(&worst, "all clients together take too much memory");
        }
        self.tell_worst();
    }

    fn tell_worst(&self) {
        let worst = self.clients.borrow().iter().flatten().map(|client| client.accounted.get()).max();
        self.budget.set_worst(self.index, worst.unwrap_or(0));
    }

    /// Frees what idle clients hold, and cuts those that do not move.
    fn look_after_idle(&self) {
        let now_s = seconds(self.clock.now());
        for client in self.all() {
            let still_s = now_s.saturating_sub(client.moved_s.get());
            if client.blocked.get() && u64::from(still_s) >= CLIENT_STALL_MAX.as_secs() {
                self.cut(&client, "it has taken no answer for too long");
            } else if still_s >= IDLE_S {
                let mut core = self.core.borrow_mut();
                if let Some(session) = core.session(client.id) {
                    session.trim();
                    let memory = session.memory() + client.stream.memory();
                    drop(core);
                    self.account(&client, memory);
                }
            }
        }
        self.tell_worst();
    }

    /// Makes the counts of the pure worker visible to other threads.
    pub fn publish(&self) {
        let Some(stats) = self.stats() else { return };
        let core = self.core.borrow();
        stats.logins_accepted.set(core.logins.accepted);
        stats.logins_refused.set(core.logins.refused);
        for (counts, counters) in core.commands.iter().zip(&stats.commands) {
            // The kinds that the worker counts are the first labels; the last kind is all that an administrator sends.
            let admin = counts.len() - 1;
            for (kind, count) in counts.iter().enumerate() {
                let label = if kind == admin { CommandLabel::Admin as usize } else { kind };
                if let Some(counter) = counters.get(label) {
                    counter.set(*count);
                }
            }
        }
    }
}

fn seconds(now: Now) -> u32 {
    u32::try_from(now.mono_us / 1_000_000).unwrap_or(u32::MAX)
}
