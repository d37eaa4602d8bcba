//! From the configuration to running threads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::access::Access;
use super::supervisor::Supervisor;
use super::threads::{self, Common};
use super::{state, watch};
use crate::admin::{self, Admin};
use crate::backend::connect::{self, Marker};
use crate::backend::facts::Facts;
use crate::clock::ReplicaId;
use crate::config::{Config, HostPort, ReplicationSecurity, Upstream};
use crate::control::server::{self as control, Control};
use crate::dataplane::stripes::{Party, STRIPES};
use crate::hash::KeyHasher;
use crate::logging::Repeats;
use crate::net::listen::{self, ClientPorts};
use crate::random;
use crate::reload::{self, PERIOD};
use crate::rules::Rules;
use crate::shared::Shared;
use crate::signal::{Signals, Waking};
use crate::stats::{FilesLabel, Stats};
use crate::time::HostClock;
use crate::tls::Tls;

/// Pauses between attempts to reach memcached.
pub(super) const RETRY_MIN: Duration = Duration::from_millis(10);
/// The longest of them; each is twice the one before.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(1);
/// File descriptors beside those of clients.
const OTHER_FILES: u64 = 256;

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs the program until it is told to stop and has.
///
/// # Errors
/// It cannot go on.
pub async fn run(config: Config, access: Access) -> anyhow::Result<()> {
    let config = Arc::new(config);
    let mut stop = Stop::new()?;
    let stats = Arc::new(Stats::new(config.threads));
    stats.replication.state_entries.set(u64::from(config.state_entries));
    raise_file_limit(&config);

    let admin = admin::bind(&config.admin_listen).await;
    let admin = admin.with_context(|| format!("cannot listen on --admin-listen {}", config.admin_listen))?;
    tracing::info!(address = %admin.local_addr()?, "metrics and probes are answered");
    tokio::spawn(admin::serve(admin, Arc::new(Admin::new(Arc::clone(&stats)))));

    let security = match &config.replication_security {
        ReplicationSecurity::Insecure => None,
        ReplicationSecurity::Tls(dir) => Some(Arc::new(Tls::load(dir).context("--tls-dir")?)),
    };
    if let Some(tls) = security.clone() {
        let stats = Arc::clone(&stats);
        tokio::spawn(async move {
            let files = &stats.files[FilesLabel::Tls as usize];
            reload::watch(tls.dir(), PERIOD, files, || tls.reload()).await;
        });
    }
    access.watch(&stats);
    let storage = state::storage(&config).context("--state-dir")?;
    let (listener, address) = listen::replication(&config.replication_listen)?;
    tracing::info!(%address, "the peer is accepted");
    let control = match &config.control_listen {
        Some(at) => Some(control_port(at).await?),
        None => None,
    };
    let ports = ClientPorts::new(&config.listen, config.threads);
    ports.check()?;

    let (facts, marker) = tokio::select! {
        found = memcached(&config.memcached) => found?,
        () = stop.asked() => return Ok(()),
    };
    let clock = HostClock::new(config.clock_offset_seconds);
    let now = clock.now();
    let hasher = KeyHasher::new(random::secret()?);
    let (mut journal, found) = state::journal(storage, &config, hasher)?;
    let (content, incarnation) = tokio::select! {
        content = state::content(&config, &mut journal, found, (&facts, marker), now) => content?,
        () = stop.asked() => return Ok(()),
    };

    let signals = Arc::new(Signals::new(config.threads + 1));
    let replica = ReplicaId::new(config.replica_id).context("--replica-id")?;
    let party = Party::new(config.threads).context("--threads")?;
    let waking = Box::new(Waking(Arc::clone(&signals)));
    let shared = Arc::new(Shared::new(replica, journal, hasher, party, waking, Rules::HOLD, STRIPES));
    shared.set_memcached_clock(watch::Offset::default().seen(&facts, now), facts.time);
    let (events, received) = mpsc::unbounded_channel();
    let common = Common { config: Arc::clone(&config), shared, stats, clock, signals, events, access };
    let boot = random::secret()?;
    let threads = threads::start(&common, boot, security.clone(), listener, clock.now())?;
    if let (Some(listener), Some(tls)) = (control, security) {
        let control = Control {
            config: Arc::clone(&config),
            boot,
            stats: Arc::clone(&common.stats),
            tls,
            link: threads.link.clone(),
            events: common.events.clone(),
            told: Mutex::new(None),
            cluster: Mutex::new(None),
            discovery: Arc::clone(&common.shared.discovery),
        };
        tokio::spawn(control::serve(listener, Arc::new(control)));
    }
    let (shared, stats) = (Arc::clone(&common.shared), Arc::clone(&common.stats));
    tokio::spawn(watch::watch(config.memcached.clone(), shared, stats, clock, common.events.clone()));

    let mut supervisor = Supervisor::new(common, threads, ports, received, (facts, marker));
    supervisor.begin(content, incarnation);
    supervisor.run(stop).await
}

async fn control_port(at: &HostPort) -> anyhow::Result<TcpListener> {
    let listener = admin::bind(at).await.with_context(|| format!("cannot listen on --control-listen {at}"))?;
    tracing::info!(address = %listener.local_addr()?, "the operator is accepted");
    Ok(listener)
}

/// Waits for a memcached that can be worked with.
async fn memcached(at: &Upstream) -> anyhow::Result<(Facts, Marker)> {
    let mut pause = RETRY_MIN;
    let mut problems = Repeats::default();
    loop {
        match connect::open(at).await {
            Ok((_, facts, marker)) => {
                tracing::info!(version = facts.version, "memcached answers");
                return Ok((facts, marker));
            }
            Err(error) if error.is_final() => return Err(error).with_context(|| format!("--memcached {at}")),
            Err(error) => {
                if problems.is_news(&error.to_string()) {
                    tracing::warn!("waiting for memcached at {at}: {error}");
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Each client takes a file descriptor; the system's default suffices for few.
fn raise_file_limit(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let (wanted, now) = (config.max_connections as u64 + OTHER_FILES, getrlimit(Resource::Nofile).current);
    if now.is_some_and(|now| now < wanted) {
        tracing::warn!(
            "--max-connections {} needs {wanted} open files, but only {} are allowed (ulimit -n)",
            config.max_connections,
            now.unwrap_or_default()
        );
    }
}
