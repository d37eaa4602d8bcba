//! The loop of the link thread.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::accept::{self, Greeted};
use super::alarm::Alarm;
use super::backend::Backend;
use super::dial::{self, Dialled, Door, Targets};
use super::identity::{self, Identity, Signs};
use super::link::Links;
use super::publish::Publisher;
use super::transport::Security;
use crate::clock::Now;
use crate::config::{HostPort, Upstream};
use crate::life::messages::{Event, LinkReport, LinkState, ToLink};
use crate::replication::replicator::Replicator;
use crate::shared::Shared;
use crate::signal::Signals;
use crate::state::header::Field;
use crate::stats::Stats;
use crate::time::HostClock;

/// What is due is done at least so often.
const TICK: Duration = Duration::from_millis(100);
/// After a wake-up by a worker, further ones are collected for so long: under load, records leave in batches.
const GATHER: Duration = Duration::from_millis(1);
/// Numbers that were not published since others had just been are, after this.
const PUBLISH_LATER: Duration = Duration::from_millis(20);
/// When the program ends and there is no link, it waits so long for one.
const FLUSH_WITHOUT_LINK: Duration = Duration::from_secs(2);
/// Connections of would-be peers that wait to be looked at.
const OFFERS: usize = 8;

/// What the link thread is made of.
#[derive(Debug)]
pub struct Parts {
    /// The pure replicator.
    pub replicator: Replicator,
    /// Its party's number.
    pub party: usize,
    /// What it shares with the workers.
    pub shared: Arc<Shared>,
    /// The clocks.
    pub clock: HostClock,
    /// Where it counts.
    pub stats: Arc<Stats>,
    /// The memcached behind, for dumps.
    pub memcached: Upstream,
    /// Name of the pair.
    pub pair_id: String,
    /// How the link is secured.
    pub security: Security,
    /// Where the other side connects.
    pub listener: std::net::TcpListener,
    /// Whom to dial.
    pub peer: Option<HostPort>,
    /// Wakes it.
    pub signals: Arc<Signals>,
    /// What it is told.
    pub commands: mpsc::UnboundedReceiver<ToLink>,
    /// Whom it tells.
    pub events: mpsc::UnboundedSender<Event>,
}

/// The end of the program waits until everything is confirmed.
#[derive(Debug)]
struct Flush {
    done: oneshot::Sender<u64>,
    /// When there was last a link, or the wait began.
    linked_ms: u64,
}

/// Somebody waits to learn who this process is.
#[derive(Debug)]
struct Question {
    done: oneshot::Sender<Identity>,
    asked_ms: u64,
}

/// See the module.
#[derive(Debug)]
struct Driver {
    replicator: Replicator,
    clock: HostClock,
    backend: Backend,
    links: Links,
    targets: Rc<Targets>,
    shared: Arc<Shared>,
    party: usize,
    signals: Arc<Signals>,
    commands: mpsc::UnboundedReceiver<ToLink>,
    events: mpsc::UnboundedSender<Event>,
    dialled: mpsc::Receiver<Dialled>,
    greeted: mpsc::Receiver<Greeted>,
    tick: Interval,
    /// Until this ends, wake-ups are collected.
    gather: Alarm,
    /// Until this ends, a resync rests.
    rest: Alarm,
    /// When this ends, numbers are published that have changed.
    publish_later: Alarm,
    publisher: Publisher,
    told: LinkState,
    /// The main thread waits to be told.
    connected_anew: bool,
    flush: Option<Flush>,
    question: Option<Question>,
}

/// Runs the link thread for ever.
///
/// # Errors
/// The listener cannot be used.
pub async fn run(parts: Parts) -> std::io::Result<()> {
    let Parts { replicator, party, shared, clock, stats, memcached, pair_id, security, listener, peer, .. } = parts;
    let door = Rc::new(Door::default());
    let (offer, dialled) = mpsc::channel(OFFERS);
    let targets = Rc::new(Targets::new(peer));
    spawn_local(dial::dial(Rc::clone(&targets), security.clone(), Rc::clone(&door), offer));
    let (offer, greeted) = mpsc::channel(OFFERS);
    spawn_local(accept::accept(TcpListener::from_std(listener)?, security, Arc::clone(&stats), offer));
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let driver = Driver {
        links: Links::new(shared.clock.replica(), pair_id, door, Arc::clone(&stats)),
        publisher: Publisher::new(stats),
        backend: Backend::new(memcached),
        targets,
        replicator,
        clock,
        shared,
        party,
        signals: parts.signals,
        commands: parts.commands,
        events: parts.events,
        dialled,
        greeted,
        tick,
        gather: Alarm::new(),
        rest: Alarm::new(),
        publish_later: Alarm::new(),
        told: LinkState::default(),
        connected_anew: false,
        flush: None,
        question: None,
    };
    driver.forever().await;
    Ok(())
}

impl Driver {
    async fn forever(mut self) {
        loop {
            std::future::poll_fn(|cx| self.poll_turn(cx)).await;
            let now = self.clock.now();
            self.links.look_after(&mut self.replicator, now);
            self.backend.follow(&mut self.replicator);
            self.tell();
            self.flushed(now);
            self.identified(now);
            if let Some(until_us) = self.replicator.rests_until_us().filter(|_| !self.rest.is_set()) {
                self.rest.set(Duration::from_micros(until_us.saturating_sub(now.mono_us)));
            }
            if !self.publisher.publish(&self.replicator, &self.shared, now) && !self.publish_later.is_set() {
                self.publish_later.set(PUBLISH_LATER);
            }
        }
    }

    /// Sends what there is, and takes in what is ready. Ready when anything was.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.now();
        let mut progress = self.poll_write(cx, now);
        while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            self.command(command, now);
            progress = true;
        }
        while let Poll::Ready(Some(dialled)) = self.dialled.poll_recv(cx) {
            self.links.dialled(&mut self.replicator, dialled, now);
            progress = true;
        }
        while let Poll::Ready(Some(greeted)) = self.greeted.poll_recv(cx) {
            self.links.greeted(&mut self.replicator, greeted, now);
            progress = true;
        }
        if self.tick.poll_tick(cx).is_ready() {
            self.replicator.turn(now);
            progress = true;
        }
        if self.rest.poll_ringing(cx) {
            self.replicator.turn(now);
            progress = true;
        }
        progress |= self.publish_later.poll_ringing(cx);
        progress |= self.poll_woken(cx, now);
        match self.backend.poll_commands(&mut self.replicator, cx, now) {
            Ok(moved) => progress |= moved,
            Err(why) => {
                self.lost(&why);
                progress = true;
            }
        }
        progress |= self.backend.poll_dump(&mut self.replicator, cx, now);
        progress |= self.links.poll_read(&mut self.replicator, cx, now);
        if progress { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let written = self.links.poll_write(&mut self.replicator, cx, now);
        match self.backend.poll_write(&mut self.replicator, cx) {
            Ok(()) => written,
            Err(why) => {
                self.lost(&why);
                true
            }
        }
    }

    /// A wake-up by a worker.
    fn poll_woken(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        if self.gather.is_set() && !self.gather.poll_ringing(cx) {
            return false;
        }
        let Some(signal) = self.signals.of(self.party) else { return false };
        if signal.poll_raised(cx).is_pending() {
            return false;
        }
        self.replicator.woken(now);
        self.gather.set(GATHER);
        true
    }

    fn command(&mut self, command: ToLink, now: Now) {
        match command {
            ToLink::Connect { stream, content, incarnation, done } => {
                let attached = stream.attach().map_err(|error| error.to_string());
                let _ = done.send(attached.map(|stream| {
                    self.backend.connected(stream, self.shared.item_size_max());
                    self.replicator.memcached_connected(content, incarnation, now);
                    self.connected_anew = true;
                }));
            }
            ToLink::Disconnect { done } => {
                self.give_up();
                let _ = done.send(());
            }
            ToLink::Wire { peer, done } => {
                let pod = peer.pod.as_ref();
                self.targets.tell(pod.map_or_else(Vec::new, |pod| {
                    pod.addresses.iter().map(|address| SocketAddr::new(*address, pod.port)).collect()
                }));
                self.replicator.set_alone(pod.is_none(), now);
                let _ = done.send(());
            }
            ToLink::Resync { done } => {
                let _ = done.send(self.replicator.resync_all(now));
            }
            ToLink::Identify { done } => {
                self.links.renew(&mut self.replicator);
                self.targets.hurry();
                self.question = Some(Question { done, asked_ms: now.mono_ms() });
            }
            ToLink::Fence => self.links.fence(&mut self.replicator),
            ToLink::Report { done } => {
                // The lock is given back before the replicator takes it.
                let incarnation = self.shared.journal().number(Field::Incarnation);
                let _ = done.send(LinkReport {
                    incarnation,
                    synced: self.replicator.is_synced(),
                    cold: self.replicator.is_cold(),
                    linked: self.replicator.linked(),
                });
            }
            ToLink::Flush { done } => self.flush = Some(Flush { done, linked_ms: now.mono_ms() }),
        }
    }

    fn give_up(&mut self) -> bool {
        let had = self.backend.disconnected();
        if had {
            self.replicator.memcached_lost();
        }
        had
    }

    fn lost(&mut self, why: &str) {
        if self.give_up() {
            tracing::warn!("connection of replication to memcached lost: {why}");
            let _ = self.events.send(Event::Lost { party: self.party });
        }
    }

    fn tell(&mut self) {
        // Whether memcached is there is the main thread's business, which need not turn clients away for every lost
        // connection.
        let state = match self.replicator.is_connected() {
            true => LinkState {
                ready: self.replicator.is_ready(),
                cold: self.replicator.is_cold(),
                fenced: self.links.is_fenced(),
            },
            false => LinkState { fenced: self.links.is_fenced(), ..self.told },
        };
        self.links.set_syncing(!state.ready);
        if std::mem::take(&mut self.connected_anew) || state != self.told {
            self.told = state;
            let _ = self.events.send(Event::Link(state));
        }
    }

    fn identified(&mut self, now: Now) {
        let Some(question) = self.question.take() else { return };
        let answer = identity::answer(Signs {
            fenced: self.links.is_fenced(),
            frames: self.replicator.link_frames(),
            nobody: self.targets.is_empty() && !self.links.had_any(),
            waited_ms: now.mono_ms().saturating_sub(question.asked_ms),
        });
        match answer {
            Some(answer) => drop(question.done.send(answer)),
            None => self.question = Some(question),
        }
    }

    fn flushed(&mut self, now: Now) {
        let Some(mut flush) = self.flush.take() else { return };
        let left = self.replicator.unconfirmed();
        if self.replicator.is_linked() {
            flush.linked_ms = now.mono_ms();
        }
        let without_link = Duration::from_millis(now.mono_ms().saturating_sub(flush.linked_ms));
        if left == 0 || without_link > FLUSH_WITHOUT_LINK {
            let _ = flush.done.send(left);
        } else {
            self.flush = Some(flush);
        }
    }
}
