//! What is compared: memcached, a pair of ours, and twemproxy where it can be had.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::client::{Address, Client};
use crate::load::{Outcome, Workload, closed, open};
use crate::memcached::{self, Executable, Suite};
use crate::process::{Memcached, Pair, PairOptions, Port, Process, REQUESTS_PER_EVENT, TempDir};
use crate::wait::wait_for;

/// Memory of each memcached, in MB.
const MEMORY: &str = "3072";

/// One of the things that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// memcached itself, over TCP
    Direct,
    /// the first replica of a pair
    Ours,
    /// a proxy without replication
    Twemproxy,
}

/// One run against one of them.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) outcome: Outcome,
    /// CPU time of the server (proxy and its memcached) per request, in microseconds; `None` where it cannot be seen
    pub(super) cpu: Option<f64>,
}

/// Servers to be compared.
pub(super) trait Compared {
    /// Those that run.
    fn kinds(&self) -> Vec<Kind>;

    /// Where clients connect.
    fn address(&self, kind: Kind) -> Result<SocketAddr>;

    /// CPU time so far of all processes of one of them; `None` where they run on another machine.
    fn cpu(&self, kind: Kind) -> Result<Option<Duration>>;

    /// Sets all keys of a workload on one of them.
    fn fill(&self, kind: Kind, workload: &Workload) -> Result<Outcome> {
        closed::fill(self.address(kind)?, workload).with_context(|| format!("filling {kind:?}"))
    }

    /// A closed loop.
    fn closed(&self, kind: Kind, workload: &Workload, time: Duration) -> Result<Sample> {
        let run = |address| closed::run(address, workload, closed::Until::Elapsed(time));
        self.sample(kind, &run)
    }

    /// An open loop.
    fn open(&self, kind: Kind, workload: &Workload, rate: f64, time: Duration) -> Result<Sample> {
        self.sample(kind, &|address| open::run(address, workload, rate, time))
    }

    /// What a run comes to.
    fn sample(&self, kind: Kind, run: &dyn Fn(SocketAddr) -> Result<Outcome>) -> Result<Sample> {
        let before = self.cpu(kind)?;
        let outcome = run(self.address(kind)?).with_context(|| format!("load on {kind:?}"))?;
        let after = self.cpu(kind)?;
        if outcome.errors > 0 || outcome.misses * 100 > outcome.operations {
            bail!("{kind:?}: {} errors and {} misses in {}", outcome.errors, outcome.misses, outcome.operations);
        }
        let per_operation = |time: Duration| time.as_secs_f64() * 1e6 / outcome.operations.max(1) as f64;
        let cpu = after.zip(before).map(|(after, before)| per_operation(after.saturating_sub(before)));
        Ok(Sample { outcome, cpu })
    }
}

/// Two that run already, wherever that is.
pub(super) struct Running {
    pub(super) direct: SocketAddr,
    pub(super) ours: SocketAddr,
}

impl Running {
    /// By host and port.
    pub(super) fn find(direct: &str, ours: &str) -> Result<Self> {
        let resolve = |server: &str| {
            let mut addresses = server.to_socket_addrs().with_context(|| format!("{server}: HOST:PORT is needed"))?;
            addresses.next().with_context(|| format!("{server}: no address"))
        };
        Ok(Self { direct: resolve(direct)?, ours: resolve(ours)? })
    }
}

impl Compared for Running {
    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Direct, Kind::Ours]
    }

    fn address(&self, kind: Kind) -> Result<SocketAddr> {
        match kind {
            Kind::Direct => Ok(self.direct),
            Kind::Ours => Ok(self.ours),
            Kind::Twemproxy => bail!("no twemproxy"),
        }
    }

    fn cpu(&self, _: Kind) -> Result<Option<Duration>> {
        Ok(None)
    }
}

struct Twemproxy {
    process: Process,
    memcached: Memcached,
    port: Port,
    _directory: TempDir,
}

/// All of them, running.
pub(super) struct Servers {
    pub(super) executable: Executable,
    pub(super) arguments: Vec<String>,
    direct: Memcached,
    pub(super) pair: Pair,
    twemproxy: Result<Twemproxy>,
    /// much above 0: something else is using the machine, and the spread tells
    load_average: String,
}

/// The TCP address, which all that is loaded has.
pub(super) fn tcp(address: &Address) -> Result<SocketAddr> {
    match address {
        Address::Tcp(address) => Ok(*address),
        Address::Unix(path) => bail!("not TCP: {}", path.display()),
    }
}

impl Servers {
    pub(super) fn start(threads: usize) -> Result<Self> {
        let load_average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load_average = load_average.split(' ').next().unwrap_or_default().to_owned();
        let executable = memcached::find(Suite::Any)?;
        let threads = threads.to_string();
        let arguments: Vec<String> =
            ["-t", &threads, "-m", MEMORY].iter().map(|&argument| argument.to_owned()).collect();
        let strings: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut options = PairOptions::new("bench", &executable).quiet().memcached([&strings, &strings]);
        options.sidecar_arguments = ["--threads", &threads].map(String::from).to_vec();
        let pair = Pair::start(&options)?;
        let direct = Memcached::on_tcp(&executable, &strings, &pair.logs().join("direct.log"))?;
        let twemproxy = Twemproxy::start(&executable, &strings, &pair);
        Ok(Servers { executable, arguments, direct, pair, twemproxy, load_average })
    }

    /// A pair beside these, with more arguments for its sidecars.
    pub(super) fn another_pair(&self, name: &str, sidecar: &[&str]) -> Result<Pair> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let options = PairOptions::new(name, &self.executable).quiet().memcached([&arguments, &arguments]);
        Pair::start(&options.sidecar(sidecar))
    }

    /// What runs, in a line or two.
    pub(super) fn describe(&self) -> String {
        let proxy = match &self.twemproxy {
            Ok(_) => "twemproxy of Debian".to_owned(),
            Err(error) => format!("no twemproxy ({error:#})"),
        };
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        format!(
            "memcached {} {}; pair ({} added) with replication on and the peer on this machine; {proxy}; {cores} cores, \
             load average before the start {}",
            self.executable.version,
            self.arguments.join(" "),
            REQUESTS_PER_EVENT.join(" "),
            self.load_average
        )
    }
}

impl Compared for Servers {
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Direct, Kind::Ours];
        kinds.extend(self.twemproxy.is_ok().then_some(Kind::Twemproxy));
        kinds
    }

    fn address(&self, kind: Kind) -> Result<SocketAddr> {
        let address = match (kind, &self.twemproxy) {
            (Kind::Direct, _) => self.direct.address().clone(),
            (Kind::Ours, _) => self.pair.a.sidecar.address(),
            (Kind::Twemproxy, Ok(twemproxy)) => Address::Tcp(twemproxy.port.address()),
            (Kind::Twemproxy, Err(_)) => bail!("no twemproxy"),
        };
        tcp(&address)
    }

    fn cpu(&self, kind: Kind) -> Result<Option<Duration>> {
        let processes = match (kind, &self.twemproxy) {
            (Kind::Direct, _) => vec![self.direct.process()],
            (Kind::Ours, _) => vec![self.pair.a.sidecar.process(), self.pair.a.memcached.process()],
            (Kind::Twemproxy, Ok(twemproxy)) => vec![Some(&twemproxy.process), twemproxy.memcached.process()],
            (Kind::Twemproxy, Err(_)) => bail!("no twemproxy"),
        };
        let times = processes.into_iter().map(|process| process.context("a server is gone")?.cpu_time());
        times.sum::<Result<Duration>>().map(Some)
    }
}

impl Twemproxy {
    fn start(executable: &Executable, arguments: &[&str], pair: &Pair) -> Result<Self> {
        let program = match memcached::which("nutcracker") {
            Some(path) => path,
            None => memcached::unpack(Suite::Trixie, "nutcracker")?,
        };
        let memcached = Memcached::on_tcp(executable, arguments, &pair.logs().join("twemproxy-memcached.log"))?;
        let (port, statistics) = (Port::reserve()?, Port::reserve()?);
        let directory = TempDir::new()?;
        let configuration = directory.path().join("nutcracker.yml");
        let text = format!(
            "bench:\n  listen: {}\n  hash: fnv1a_64\n  distribution: modula\n  preconnect: true\n  servers:\n   - {}:1\n",
            port.address(),
            memcached.address()
        );
        std::fs::write(&configuration, text)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&configuration).args(["-a", "127.0.0.1", "-v", "3"]);
        command.args(["-s", &statistics.address().port().to_string()]);
        // Debian's would log to a place that only its package makes.
        let log = pair.logs().join("twemproxy.log");
        command.arg("-o").arg(&log);
        let process = Process::spawn("nutcracker", &mut command, &log)?;
        wait_for("twemproxy to answer", Duration::from_secs(10), || {
            Client::connect(&Address::Tcp(port.address())).ok()?.exchange("get nothing").ok()
        })?;
        Ok(Twemproxy { process, memcached, port, _directory: directory })
    }
}
