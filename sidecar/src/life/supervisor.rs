//! What happens when memcached goes and comes, when clients are let in, and how the program ends.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::messages::{Event, LinkState, ToLink, ToWorker};
use super::start::{RETRY_MAX, RETRY_MIN, Stop};
use super::state;
use super::threads::{Common, Threads};
use crate::backend::connect::{self, BackendError, Marker};
use crate::backend::facts::Facts;
use crate::dataplane::worker::Content;
use crate::limits::{self, Sizes};
use crate::logging::Repeats;
use crate::net::listen::ClientPorts;
use crate::peer::identity::Identity;
use crate::random;
use crate::replication::log;
use crate::stats::Phase;

/// When the program ends, requests in flight have so long.
const FINISH_MAX: Duration = Duration::from_secs(8);
/// And the peer has so long to confirm what it was sent.
const FLUSH_MAX: Duration = Duration::from_secs(20);
/// A client port that could not be opened again is tried so often.
const PORT_RETRY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Supervisor {
    common: Common,
    threads: Threads,
    ports: ClientPorts,
    events: mpsc::UnboundedReceiver<Event>,
    facts: Facts,
    marker: Marker,
    /// What is to be told to whoever connects next.
    content: (Content, u64),
    /// Parties without a connection to memcached.
    lost: BTreeSet<usize>,
    /// memcached is there.
    up: bool,
    /// It answers in time.
    answers: bool,
    retry: Instant,
    pause: Duration,
    link: LinkState,
    /// The peer or the operator says that another process has this replica id. That is for ever: the other one has the
    /// clients, and this one does not know what it has missed.
    fenced: bool,
    /// This process stood still; the link thread finds out whether it was replaced.
    asking: Option<oneshot::Receiver<Identity>>,
    /// When that was last asked, in microseconds of the monotonic clock.
    known_us: u64,
    /// Clients are accepted.
    serving: bool,
    /// They have been, once.
    served: bool,
    draining: bool,
    port_retry: Option<Instant>,
    problems: Repeats,
}

impl Supervisor {
    pub(super) fn new(
        common: Common,
        threads: Threads,
        ports: ClientPorts,
        events: mpsc::UnboundedReceiver<Event>,
        (facts, marker): (Facts, Marker),
    ) -> Self {
        Self {
            common,
            threads,
            ports,
            events,
            facts,
            marker,
            content: (Content::Same, 0),
            lost: BTreeSet::new(),
            up: false,
            answers: true,
            retry: Instant::now(),
            pause: RETRY_MIN,
            link: LinkState::default(),
            fenced: false,
            asking: None,
            known_us: 0,
            serving: false,
            served: false,
            draining: false,
            port_retry: None,
            problems: Repeats::default(),
        }
    }

    /// Nobody is connected to memcached yet; its content is this.
    pub(super) fn begin(&mut self, content: Content, incarnation: u64) {
        self.content = (content, incarnation);
        self.lost = (0..=self.threads.workers.len()).collect();
    }

    /// Runs until told to stop, and ends in order.
    pub(super) async fn run(mut self, mut stop: Stop) -> anyhow::Result<()> {
        tokio::select! {
            result = self.work() => return result,
            () = stop.asked() => {}
        }
        tracing::info!("told to stop");
        self.draining = true;
        if self.serving {
            self.phase();
            let delay = self.common.config.drain_delay;
            tokio::select! {
                result = self.work() => return result,
                () = sleep(delay) => {}
                () = stop.asked() => return self.aborted(),
            }
        }
        tokio::select! {
            () = self.finish() => Ok(()),
            () = stop.asked() => self.aborted(),
        }
    }

    fn aborted(&self) -> anyhow::Result<()> {
        self.ports.closed();
        tracing::warn!("told to stop again: ending at once");
        Ok(())
    }

    /// Handles what happens, for ever.
    async fn work(&mut self) -> anyhow::Result<()> {
        loop {
            let retry = self.retry;
            let port_retry = self.port_retry;
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.event(event).await?,
                    None => bail!("all threads have ended"),
                },
                identity = answer(&mut self.asking) => self.identified(identity).await?,
                () = sleep_until(retry), if !self.lost.is_empty() => self.recover().await?,
                () = sleep_until(port_retry.unwrap_or(retry)), if port_retry.is_some() => self.settle().await?,
            }
        }
    }

    async fn event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Lost { party } => {
                if self.lost.is_empty() {
                    (self.retry, self.pause) = (Instant::now(), RETRY_MIN);
                }
                self.lost.insert(party);
            }
            Event::Link(state) => {
                self.link = state;
                if state.fenced {
                    self.fence();
                }
                self.settle().await?;
            }
            Event::Fence => {
                self.fence();
                self.settle().await?;
            }
            // All workers notice the same standstill.
            Event::StoodStill { noticed_us, stood } if noticed_us >= self.known_us => self.ask(stood).await?,
            Event::StoodStill { .. } => {}
            Event::Answers(answers) => {
                self.answers = answers;
                self.phase();
            }
            Event::Ended { thread } => bail!("thread {thread} has ended"),
        }
        Ok(())
    }

    fn fence(&mut self) {
        if !std::mem::replace(&mut self.fenced, true) {
            tracing::error!("fenced: a newer process has this replica id; no client is served until a restart");
            let _ = self.threads.link.send(ToLink::Fence);
        }
    }

    /// Workers that stood still have closed their clients. None is let in before it is known that nobody else has them.
    async fn ask(&mut self, stood: Duration) -> anyhow::Result<()> {
        let seconds = stood.as_secs();
        tracing::warn!(
            "this process stood still for {seconds} s: clients wait until the peer has said who this replica is"
        );
        let (done, answer) = oneshot::channel();
        self.asking = Some(answer);
        self.settle().await?;
        self.known_us = self.common.clock.now().mono_us;
        let _ = self.threads.link.send(ToLink::Identify { done });
        Ok(())
    }

    async fn identified(&mut self, identity: Identity) -> anyhow::Result<()> {
        self.asking = None;
        match identity {
            Identity::Current => tracing::info!("the peer knows no newer process with this replica id"),
            Identity::Unknown => tracing::warn!("nobody has said whether another process has this replica id"),
            Identity::Replaced => self.fence(),
        }
        self.settle().await
    }

    /// Tries to give everybody who lost it a connection to memcached. While memcached is found to be the same, nobody else
    /// is disturbed.
    async fn recover(&mut self) -> anyhow::Result<()> {
        let found = connect::open(&self.common.config.memcached).await;
        let result = match found {
            Ok((_, facts, marker)) => self.found(facts, marker).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.pause = RETRY_MIN;
                self.problems.clear();
                self.settle().await
            }
            Err(error) if error.is_final() => {
                Err(error).with_context(|| format!("--memcached {}", self.common.config.memcached))
            }
            Err(error) => {
                if self.problems.is_news(&error.to_string()) {
                    tracing::warn!("memcached cannot be reached: {error}");
                }
                self.retry = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(RETRY_MAX);
                self.give_up().await
            }
        }
    }

    /// Takes over the greatest size of an item, on which bounds depend.
    fn fit(&self, item_size_max: u64) {
        let Common { config, shared, stats, .. } = &self.common;
        shared.set_item_size_max(item_size_max);
        let item_size_max = usize::try_from(item_size_max).unwrap_or(usize::MAX);
        let least = log::least(item_size_max);
        if shared.journal().log.limit() < least {
            tracing::warn!(
                "--backlog {} is too small for items of {item_size_max} bytes (memcached -I): using {least}",
                config.backlog
            );
            shared.journal().log.raise_limit(least);
        }
        let (threads, max_connections) = (config.threads, config.max_connections);
        let (backlog, state_entries) = (config.backlog, config.state_entries);
        let client_tls = config.client_tls.is_some();
        let sizes = Sizes { threads, max_connections, backlog, state_entries, item_size_max, client_tls };
        let worst = limits::worst_case(sizes);
        stats.memory_bound.set(worst as u64);
    }

    async fn found(&mut self, facts: Facts, marker: Marker) -> Result<(), BackendError> {
        if marker != self.marker {
            // Clients would read from an empty cache.
            self.give_up().await.map_err(|error| std::io::Error::other(error.to_string()))?;
            if facts.items > 0 {
                let text = "memcached was replaced by one that is not empty; starting again will adopt it";
                return Err(BackendError::Replaced(text));
            }
            let incarnation = random::secret()?;
            self.content = (Content::New, incarnation);
            self.marker = marker;
            self.common.stats.memcached.restarts.add_shared(1);
            tracing::warn!("memcached has lost its content");
        }
        self.fit(facts.limits.item_size_max);
        self.facts = facts;
        // The replicator first: what it forgets, workers must not have begun anew.
        let link = self.threads.workers.len();
        if self.lost.contains(&link) {
            self.connect_link().await?;
        }
        for worker in 0..link {
            if self.lost.contains(&worker) {
                self.connect_worker(worker).await?;
            }
        }
        self.content.0 = Content::Same;
        if !std::mem::replace(&mut self.up, true) {
            tracing::info!("connected with memcached");
        }
        self.common.stats.memcached.up.set(1);
        Ok(())
    }

    async fn connect_link(&mut self) -> Result<(), BackendError> {
        let stream = connect::reopen(&self.common.config.memcached, self.marker).await?.detach()?;
        let (done, answer) = oneshot::channel();
        let (content, incarnation) = self.content;
        let _ = self.threads.link.send(ToLink::Connect { stream, content, incarnation, done });
        in_use(answer.await)?;
        state::mark(&mut self.common.shared.journal(), self.marker);
        self.lost.remove(&self.threads.workers.len());
        Ok(())
    }

    async fn connect_worker(&mut self, worker: usize) -> Result<(), BackendError> {
        let Some(thread) = self.threads.workers.get(worker) else { return Ok(()) };
        let stream = connect::reopen(&self.common.config.memcached, self.marker).await?.detach()?;
        let (done, answer) = oneshot::channel();
        let (limits, content) = (self.facts.limits, self.content.0);
        let _ = thread.send(ToWorker::Connect { stream, limits, content, done });
        in_use(answer.await)?;
        self.lost.remove(&worker);
        Ok(())
    }

    /// memcached is gone, so its content is: everybody gives its connection up, and clients go to the other replica.
    async fn give_up(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.up, false) {
            self.common.stats.memcached.up.set(0);
            self.link.ready = false;
            self.settle().await?;
        }
        if self.lost.len() > self.threads.workers.len() {
            return Ok(());
        }
        let mut answers = Vec::new();
        for worker in &self.threads.workers {
            let (done, answer) = oneshot::channel();
            let _ = worker.send(ToWorker::Disconnect { done });
            answers.push(answer);
        }
        let (done, answer) = oneshot::channel();
        let _ = self.threads.link.send(ToLink::Disconnect { done });
        answers.push(answer);
        for answer in answers {
            let _ = answer.await;
        }
        self.lost = (0..=self.threads.workers.len()).collect();
        Ok(())
    }

    /// Lets clients in or not, as things are, and says so.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let serve = self.up && self.link.ready && !self.fenced && self.asking.is_none();
        if serve && !self.serving {
            self.open()?;
        } else if !serve && self.serving {
            self.serving = false;
            self.phase();
            tracing::warn!("clients are turned away: {}", self.common.stats.readiness.phase().reason());
            self.each_worker(|done| ToWorker::Close { done }).await;
            self.ports.closed();
        }
        self.phase();
        Ok(())
    }

    fn open(&mut self) -> anyhow::Result<()> {
        match self.ports.open() {
            Ok(listeners) => {
                for (worker, listeners) in self.threads.workers.iter().zip(listeners) {
                    let _ = worker.send(ToWorker::Listen { listeners, known_us: self.known_us });
                }
                (self.serving, self.served, self.port_retry) = (true, true, None);
                let how = if self.link.cold { "without a first sync" } else { "in sync" };
                tracing::info!("ready: clients are served, {how}");
                Ok(())
            }
            Err(error) if self.served => {
                if self.problems.is_news(&error.to_string()) {
                    tracing::warn!("{error}");
                }
                self.port_retry = Some(Instant::now() + PORT_RETRY);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn phase(&self) {
        let phase = match () {
            () if self.fenced => Phase::Fenced,
            () if self.asking.is_some() => Phase::Asking,
            () if !self.up && !self.served && self.lost.len() > self.threads.workers.len() => Phase::Starting,
            () if !self.up || !self.answers => Phase::MemcachedDown,
            () if !self.serving => Phase::Syncing,
            () if self.draining => Phase::Draining,
            () => Phase::Ready,
        };
        self.common.stats.readiness.enter(phase);
    }

    async fn each_worker(&self, command: impl Fn(oneshot::Sender<()>) -> ToWorker) {
        let mut answers = Vec::new();
        for worker in &self.threads.workers {
            let (done, answer) = oneshot::channel();
            let _ = worker.send(command(done));
            answers.push(answer);
        }
        for answer in answers {
            let _ = answer.await;
        }
    }

    /// Serves no client any more, and brings the peer what it lacks.
    async fn finish(&self) {
        self.common.stats.readiness.enter(Phase::Stopping);
        tracing::info!("no new clients are accepted");
        if timeout(FINISH_MAX, self.each_worker(|done| ToWorker::Finish { done })).await.is_err() {
            tracing::warn!("requests were under way for too long");
        }
        self.ports.closed();
        let (done, answer) = oneshot::channel();
        let _ = self.threads.link.send(ToLink::Flush { done });
        match timeout(FLUSH_MAX, answer).await {
            Ok(Ok(0)) => tracing::info!("the peer has everything"),
            Ok(Ok(left)) => tracing::warn!("the peer is not there: {left} records stay unconfirmed"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the peer has not confirmed everything in time"),
        }
    }
}

/// What the link thread has found out; for ever, where nothing was asked.
async fn answer(asking: &mut Option<oneshot::Receiver<Identity>>) -> Identity {
    match asking {
        Some(answer) => answer.await.unwrap_or(Identity::Unknown),
        None => std::future::pending().await,
    }
}

/// Whether a thread has taken a connection into use.
fn in_use(answer: Result<Result<(), String>, oneshot::error::RecvError>) -> Result<(), BackendError> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(std::io::Error::other(why).into()),
        Err(_) => Err(std::io::Error::other("the thread has ended").into()),
    }
}
