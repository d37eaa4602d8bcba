//! The threads of the workers and of the link. Each has a runtime of its own.

use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use super::access::Access;
use super::messages::{Event, ToLink, ToWorker};
use super::text;
use crate::clock::Now;
use crate::config::Config;
use crate::dataplane::stripes::Party;
use crate::dataplane::worker::{StatsText, Worker};
use crate::peer::driver;
use crate::peer::transport::Security;
use crate::replication::replicator::{self, Replicator};
use crate::serve::budget::Budget;
use crate::serve::handshake::{self, Handshakes};
use crate::serve::worker;
use crate::shared::Shared;
use crate::signal::Signals;
use crate::stats::Stats;
use crate::time::HostClock;

/// Bytes for the peer that wait for its socket.
pub(crate) const LINK_OUTPUT: usize = 1 << 20;

/// Tasks that have their turn before the system is asked for new events. All that is ready in one turn of a worker
/// leaves for memcached in one write, so this is large.
const TASKS_PER_TURN: u32 = 256;

/// What all threads share.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) stats: Arc<Stats>,
    pub(super) clock: HostClock,
    pub(super) signals: Arc<Signals>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) access: Access,
}

/// How the threads are told things.
#[derive(Debug)]
pub(super) struct Threads {
    /// One for each worker.
    pub(super) workers: Vec<mpsc::UnboundedSender<ToWorker>>,
    /// The link thread.
    pub(super) link: mpsc::UnboundedSender<ToLink>,
}

/// Starts all threads. None has a connection to memcached yet.
pub(super) fn start(
    common: &Common,
    boot: u64,
    security: Security,
    listener: std::net::TcpListener,
    now: Now,
) -> anyhow::Result<Threads> {
    let budget = Arc::new(Budget::new(common.config.threads, common.config.max_connections));
    let tls = match common.access.tls.clone() {
        Some(tls) => {
            let (handshakes, work) = handshake::handshakes(tls);
            spawn("handshakes".to_owned(), common, move || handshake::run(work))?;
            Some(handshakes)
        }
        None => None,
    };
    let mut workers = Vec::new();
    for index in 0..common.config.threads {
        workers.push(start_worker(common, index, Arc::clone(&budget), tls.clone())?);
    }
    let link = start_link(common, boot, security, listener, now)?;
    Ok(Threads { workers, link })
}

fn start_worker(
    common: &Common,
    index: usize,
    budget: Arc<Budget>,
    tls: Option<Handshakes>,
) -> anyhow::Result<mpsc::UnboundedSender<ToWorker>> {
    let party = Party::new(index).context("too many workers")?;
    let (stats, replica_id) = (Arc::clone(&common.stats), common.config.replica_id);
    let text = StatsText(Arc::new(move || text::replication(&stats, replica_id)));
    let (sender, commands) = mpsc::unbounded_channel();
    let mut core = Worker::new(Arc::clone(&common.shared), party, text);
    if let Some(auth) = &common.access.auth {
        core.guard(auth.gate());
    }
    let parts = worker::Parts {
        core,
        index,
        clock: common.clock,
        stats: Arc::clone(&common.stats),
        budget,
        memcached: common.config.memcached.clone(),
        signals: Arc::clone(&common.signals),
        commands,
        events: common.events.clone(),
        tls,
        busy_poll: common.config.busy_poll,
    };
    spawn(format!("worker-{index}"), common, move || worker::run(parts))?;
    Ok(sender)
}

fn start_link(
    common: &Common,
    boot: u64,
    security: Security,
    listener: std::net::TcpListener,
    now: Now,
) -> anyhow::Result<mpsc::UnboundedSender<ToLink>> {
    let config = &common.config;
    let number = config.threads;
    let party = Party::new(number).context("too many workers")?;
    let settings = replicator::Config {
        pair_id: config.pair_id.clone(),
        boot,
        warmup_ms: u64::try_from(config.warmup_deadline.as_millis()).unwrap_or(u64::MAX),
        resync_rate: config.resync_rate,
        link_output: LINK_OUTPUT,
    };
    let (sender, commands) = mpsc::unbounded_channel();
    let parts = driver::Parts {
        replicator: Replicator::new(Arc::clone(&common.shared), party, settings, now),
        party: number,
        shared: Arc::clone(&common.shared),
        clock: common.clock,
        stats: Arc::clone(&common.stats),
        memcached: config.memcached.clone(),
        pair_id: config.pair_id.clone(),
        security,
        listener,
        peer: config.peer.clone(),
        signals: Arc::clone(&common.signals),
        commands,
        events: common.events.clone(),
    };
    spawn("link".to_owned(), common, move || async move {
        if let Err(error) = driver::run(parts).await {
            tracing::error!("the link thread: {error}");
        }
    })?;
    Ok(sender)
}

/// Tells the main thread that a thread has ended, by a panic or otherwise.
struct End {
    thread: String,
    events: mpsc::UnboundedSender<Event>,
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Ended { thread: std::mem::take(&mut self.thread) });
    }
}

fn spawn<F: Future<Output = ()>>(
    name: String,
    common: &Common,
    main: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<()> {
    let end = End { thread: name.clone(), events: common.events.clone() };
    let run = move || {
        let _end = end;
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().event_interval(TASKS_PER_TURN).build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(main()),
            Err(error) => tracing::error!("no runtime: {error}"),
        }
    };
    std::thread::Builder::new().name(name).spawn(run).context("cannot start a thread")?;
    Ok(())
}
