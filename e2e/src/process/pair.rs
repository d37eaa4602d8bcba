//! Two replicas and the link between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Authority, Faults, Flow, Memcached, Proxy, Sidecar, SidecarOptions, TempDir};
use crate::client::{Address, Client};
use crate::memcached::Executable;
use crate::wait::{wait_for, wait_until};
use crate::{admin, contents, paths};

/// Time for a start, a reconnect or a small resync; generous, since tests share the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// As the operator starts memcached: a few connections carry the requests of all clients.
pub const REQUESTS_PER_EVENT: [&str; 2] = ["-R", "200"];

/// Moves a sidecar's wall clock, for tests.
const CLOCK_OFFSET: &str = "RMC_CLOCK_OFFSET_SECONDS";

/// How a pair is started.
#[derive(Clone, Debug)]
pub struct PairOptions {
    /// name of the directory of its logs
    pub name: String,
    /// the memcached of both
    pub memcached: Executable,
    /// arguments of each memcached
    pub memcached_arguments: [Vec<String>; 2],
    /// arguments of both sidecars
    pub sidecar_arguments: Vec<String>,
    /// how far the wall clock of each sidecar is off
    pub clock_offset_seconds: [i64; 2],
    /// TLS on the link, otherwise plain TCP
    pub tls: bool,
    /// do not print where the logs are when it is dropped; tests do, and cargo shows it if they fail
    pub quiet: bool,
}

impl PairOptions {
    /// The usual: plain TCP, true clocks, default flags of the sidecar.
    pub fn new(name: &str, memcached: &Executable) -> Self {
        PairOptions {
            name: name.to_owned(),
            memcached: memcached.clone(),
            memcached_arguments: [(); 2].map(|()| REQUESTS_PER_EVENT.map(String::from).to_vec()),
            sidecar_arguments: vec!["--threads".to_owned(), "2".to_owned()],
            clock_offset_seconds: [0, 0],
            tls: false,
            quiet: false,
        }
    }

    /// Adds arguments for both sidecars.
    pub fn sidecar(mut self, arguments: &[&str]) -> Self {
        self.sidecar_arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Adds arguments for the memcached of each.
    pub fn memcached(mut self, arguments: [&[&str]; 2]) -> Self {
        for (all, added) in self.memcached_arguments.iter_mut().zip(arguments) {
            all.extend(added.iter().map(|&argument| argument.to_owned()));
        }
        self
    }

    /// Prints nothing.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Mutual TLS on the link.
    pub fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Moves the wall clock of each sidecar.
    pub fn clocks(mut self, seconds: [i64; 2]) -> Self {
        self.clock_offset_seconds = seconds;
        self
    }
}

/// A memcached and its sidecar.
#[derive(Debug)]
pub struct Replica {
    /// the cache, on a unix socket
    pub memcached: Memcached,
    /// what stands in front of it
    pub sidecar: Sidecar,
    state_dir: PathBuf,
}

impl Replica {
    /// A new client connection, through the sidecar.
    pub fn client(&self) -> Result<Client> {
        self.sidecar.client()
    }

    /// A new connection past the sidecar.
    pub fn private(&self) -> Result<Client> {
        self.memcached.client()
    }

    /// Waits until `/readyz` says 200.
    pub fn wait_ready(&mut self) -> Result<()> {
        self.sidecar.wait_ready(PATIENCE)
    }

    /// Waits until the sidecar says that it is linked to the other one, or that it is not.
    pub fn wait_linked(&self, linked: bool) -> Result<()> {
        let wanted = if linked { 1.0 } else { 0.0 };
        wait_for(&format!("rmc_peer_connected {wanted}"), PATIENCE, || {
            let seen = admin::metric(&self.sidecar.metrics().ok()?, "rmc_peer_connected")?;
            (seen == wanted).then_some(())
        })
    }

    /// `stats replication`.
    pub fn replication_stats(&self) -> Result<BTreeMap<String, String>> {
        let lines = self.client()?.lines_until("stats replication", "END")?;
        let parse = |line: &String| {
            let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
            Some((name.to_owned(), value.to_owned()))
        };
        lines.iter().map(parse).collect::<Option<_>>().with_context(|| format!("odd stats: {lines:?}"))
    }

    /// One number of `stats replication`.
    pub fn replication_stat(&self, name: &str) -> Result<i64> {
        let stats = self.replication_stats()?;
        let value = stats.get(name).with_context(|| format!("no {name} in {stats:?}"))?;
        value.parse().with_context(|| format!("{name} is no number: {value}"))
    }

    /// Moves the wall clock of the sidecar from its next start on.
    pub fn set_clock(&mut self, offset_seconds: i64) {
        let environment = &mut self.sidecar.options.environment;
        environment.retain(|(name, _)| name != CLOCK_OFFSET);
        environment.push((CLOCK_OFFSET.to_owned(), offset_seconds.to_string()));
    }

    /// Kills both processes.
    pub fn kill(&mut self) {
        self.sidecar.kill();
        self.memcached.kill();
    }

    /// Seconds left of an item's life, asked of memcached itself; None: it is not there, -1: it has no end.
    pub fn ttl(&self, key: &str) -> Result<Option<i64>> {
        let line = self.private()?.exchange(&format!("mg {key} t"))?;
        Ok(line.strip_prefix("HD t").and_then(|seconds| seconds.parse().ok()))
    }

    /// Waits until a client sees this value, or that there is none.
    pub fn wait_value(&self, key: &str, value: Option<&str>) -> Result<()> {
        let mut client = self.client()?;
        wait_until(&format!("{key} to be {value:?}"), PATIENCE, || {
            let seen = client.get(key).map_err(|error| format!("{error:#}"))?;
            if seen.as_deref() == value { Ok(()) } else { Err(format!("{seen:?}")) }
        })
    }

    /// Removes the state file; only sensible while the sidecar does not run.
    pub fn forget_state(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.state_dir)?;
        std::fs::create_dir_all(&self.state_dir)?;
        Ok(())
    }
}

/// The two directions of dialling between the sidecars. A fault works on both, whoever dialled.
#[derive(Debug)]
pub struct Link {
    /// what the first replica dials
    a_dials: Proxy,
    /// what the second replica dials
    b_dials: Proxy,
}

impl Link {
    fn each(&self, change: impl Fn(&mut Flow, &mut Flow)) {
        self.a_dials.set(|Faults { forward, backward, .. }| change(forward, backward));
        self.b_dials.set(|Faults { forward, backward, .. }| change(backward, forward));
    }

    /// Closes all connections and lets none be made.
    pub fn cut(&self) {
        self.a_dials.set(|faults| faults.cut = true);
        self.b_dials.set(|faults| faults.cut = true);
    }

    /// Changes what happens to the bytes from the first to the second replica, and back.
    pub fn flows(&self, from_a: Flow, from_b: Flow) {
        self.each(|a, b| {
            *a = from_a.clone();
            *b = from_b.clone();
        });
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.a_dials.set(|faults| *faults = Faults::default());
        self.b_dials.set(|faults| *faults = Faults::default());
    }
}

/// A pair. Dropping it kills its processes; the logs stay.
#[derive(Debug)]
pub struct Pair {
    /// replica 0
    pub a: Replica,
    /// replica 1
    pub b: Replica,
    /// what is between them
    pub link: Link,
    logs: PathBuf,
    quiet: bool,
    directory: TempDir,
}

impl Pair {
    /// Starts everything and waits until both are ready and linked.
    pub fn start(options: &PairOptions) -> Result<Self> {
        let mut pair = Self::start_caches(options)?;
        pair.a.sidecar.start()?;
        pair.b.sidecar.start()?;
        pair.wait_up()?;
        Ok(pair)
    }

    /// Starts the memcacheds only, so that a test can set the scene before the sidecars run.
    pub fn start_caches(options: &PairOptions) -> Result<Self> {
        let logs = paths::fresh_log_dir(&options.name)?;
        let directory = TempDir::new()?;
        let authority = if options.tls { Some(Authority::new("e2e")?) } else { None };
        let replica = |name: &str, id: usize| -> Result<Replica> {
            let home = directory.path().join(name);
            let state_dir = home.join("state");
            std::fs::create_dir_all(&state_dir)?;
            let arguments = options.memcached_arguments.get(id).map_or(&[][..], Vec::as_slice);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let socket = home.join("memcached.sock");
            let log = logs.join(format!("{name}-memcached.log"));
            let memcached = Memcached::on_socket(&options.memcached, &socket, &arguments, &log)?;
            let tls_dir = home.join("tls");
            if let Some(authority) = &authority {
                authority.write_dir(&tls_dir, name)?;
            }
            let mut environment = Vec::new();
            let offset = options.clock_offset_seconds.get(id).copied().unwrap_or(0);
            if offset != 0 {
                environment.push((CLOCK_OFFSET.to_owned(), offset.to_string()));
            }
            let sidecar = SidecarOptions {
                memcached: Address::Unix(socket),
                peer: None,
                replica_id: id,
                pair_id: "e2e".to_owned(),
                state_dir: Some(state_dir.clone()),
                tls_dir: authority.is_some().then_some(tls_dir),
                arguments: options.sidecar_arguments.clone(),
                environment,
            };
            let sidecar = Sidecar::prepare(sidecar, &logs.join(format!("{name}-sidecar.log")))?;
            Ok(Replica { memcached, sidecar, state_dir })
        };
        let (mut a, mut b) = (replica("a", 0)?, replica("b", 1)?);
        let link =
            Link { a_dials: Proxy::start(b.sidecar.replication())?, b_dials: Proxy::start(a.sidecar.replication())? };
        a.sidecar.options.peer = Some(link.a_dials.address().to_string());
        b.sidecar.options.peer = Some(link.b_dials.address().to_string());
        Ok(Pair { a, b, link, logs, quiet: options.quiet, directory })
    }

    /// Waits until both are ready and linked.
    pub fn wait_up(&mut self) -> Result<()> {
        let logs = format!("logs: {}", self.logs.display());
        self.a.wait_ready().with_context(|| logs.clone())?;
        self.b.wait_ready().with_context(|| logs.clone())?;
        self.a.wait_linked(true).with_context(|| logs.clone())?;
        self.b.wait_linked(true).with_context(|| logs)
    }

    /// Both replicas, to do something in each direction.
    pub fn directions(&self) -> [(&Replica, &Replica); 2] {
        [(&self.a, &self.b), (&self.b, &self.a)]
    }

    /// Waits until both memcacheds hold the same: keys, values, flags, cas numbers and, nearly, the ends of items.
    pub fn wait_equal(&self) -> Result<()> {
        wait_until("equal contents of both", PATIENCE, || self.compare(contents::Missing::Differs))
            .with_context(|| format!("logs: {}", self.logs.display()))
    }

    /// Waits until no key has different versions on both. A key that one of them lacks (evicted) is no difference.
    pub fn wait_consistent(&self) -> Result<()> {
        wait_until("no contradiction between both", PATIENCE, || self.compare(contents::Missing::IsFine))
            .with_context(|| format!("logs: {}", self.logs.display()))
    }

    fn compare(&self, missing: contents::Missing) -> Result<(), String> {
        let read = |replica: &Replica| {
            let contents = replica.private().and_then(|mut client| contents::read(&mut client));
            contents.map_err(|error| format!("{error:#}"))
        };
        contents::compare(&read(&self.a)?, &read(&self.b)?, missing)
    }

    /// Where the logs are.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// A directory for files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !self.quiet {
            eprintln!("logs: {}", self.logs.display());
        }
    }
}
