//! A sidecar process.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::{Port, Process};
use crate::admin;
use crate::client::{Address, Client};

/// Finds the sidecar to test: `$MEMCACHED_SIDECAR`; under cargo the current code, built; else the one beside this
/// program.
pub fn sidecar_executable() -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.clone().map_err(|error| anyhow::anyhow!(error))
}

fn find() -> Result<PathBuf> {
    if let Some(path) = env::var_os("MEMCACHED_SIDECAR") {
        return Ok(PathBuf::from(path));
    }
    let program = env::current_exe()?;
    // target/<profile>/e2e, or target/<profile>/deps/<test>
    let mut dir = program.parent().context("no directory")?;
    if dir.ends_with("deps") {
        dir = dir.parent().context("no directory")?;
    }
    if let Some(cargo) = env::var_os("CARGO") {
        // Cargo builds the binaries of other packages for no test, so a stale one would be tested.
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "sidecar", "--bin", "memcached-sidecar"]);
        // Not the directory of the time of building: checkouts may share a target directory.
        build.current_dir(env::var_os("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?);
        // What cargo told this program of its own package. Build scripts look at the same names, and would run again, with all
        // that depends on them, whenever they are there or not.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
                build.env_remove(name);
            }
        }
        if dir.ends_with("release") {
            build.arg("--release");
        }
        if let Some(target) = dir.parent() {
            build.arg("--target-dir").arg(target);
        }
        ensure!(build.status()?.success(), "cannot build the sidecar");
    }
    let path = dir.join("memcached-sidecar");
    ensure!(path.is_file(), "no {}; build it, or name it in $MEMCACHED_SIDECAR", path.display());
    Ok(path)
}

/// How to start a sidecar. The fields are its flags.
#[derive(Clone, Debug)]
pub struct SidecarOptions {
    /// the memcached behind
    pub memcached: Address,
    /// the other one, as host:port
    pub peer: Option<String>,
    /// 0 or 1
    pub replica_id: usize,
    /// the name of the pair
    pub pair_id: String,
    /// where the state file is kept
    pub state_dir: Option<PathBuf>,
    /// certificates; None is `--insecure-replication`
    pub tls_dir: Option<PathBuf>,
    /// more arguments
    pub arguments: Vec<String>,
    /// environment variables
    pub environment: Vec<(String, String)>,
}

/// A sidecar; it can be stopped and started again at the same addresses.
#[derive(Debug)]
pub struct Sidecar {
    /// how to start it the next time
    pub options: SidecarOptions,
    log: PathBuf,
    clients: Port,
    replication: Port,
    admin: Port,
    process: Option<Process>,
}

impl Sidecar {
    /// Reserves its ports without starting it.
    pub fn prepare(options: SidecarOptions, log: &Path) -> Result<Self> {
        Ok(Sidecar {
            options,
            log: log.to_owned(),
            clients: Port::reserve()?,
            replication: Port::reserve()?,
            admin: Port::reserve()?,
            process: None,
        })
    }

    /// The command line.
    fn command(&self) -> Result<Command> {
        let options = &self.options;
        let mut command = Command::new(sidecar_executable()?);
        command.args(["--listen", &self.clients.address().to_string()]);
        command.args(["--replication-listen", &self.replication.address().to_string()]);
        command.args(["--admin-listen", &self.admin.address().to_string()]);
        command.args(["--memcached", &options.memcached.to_string()]);
        command.args(["--pair-id", &options.pair_id, "--replica-id", &options.replica_id.to_string()]);
        if let Some(peer) = &options.peer {
            command.args(["--peer", peer]);
        }
        if let Some(dir) = &options.state_dir {
            command.arg("--state-dir").arg(dir);
        }
        match &options.tls_dir {
            Some(dir) => command.arg("--tls-dir").arg(dir),
            None => command.arg("--insecure-replication"),
        };
        command.args(&options.arguments);
        command.env("RUST_BACKTRACE", "1");
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Starts it (again). It is not ready when this returns.
    pub fn start(&mut self) -> Result<()> {
        self.kill();
        self.process = Some(Process::spawn("memcached-sidecar", &mut self.command()?, &self.log)?);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the sidecar is not running")?.signal(signal)
    }

    /// SIGSTOP, in effect when this returns.
    pub fn suspend(&self) -> Result<()> {
        self.process.as_ref().context("the sidecar is not running")?.suspend()
    }

    /// SIGTERM, and waits for its end.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_exit(deadline)
    }

    /// Waits until it exits by itself.
    pub fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let status = self.process.as_mut().context("the sidecar is not running")?.wait_exit(deadline)?;
        self.process = None;
        Ok(status)
    }

    /// Its process, while it runs.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Waits until `/readyz` says 200; an error at once if it exits.
    pub fn wait_ready(&mut self, deadline: Duration) -> Result<()> {
        let admin = self.admin.address();
        let process = self.process.as_mut().context("the sidecar is not running")?;
        let ready = crate::wait::wait_for("/readyz to say 200", deadline, || {
            if !process.is_running() {
                return Some(false);
            }
            matches!(admin::get(admin, "/readyz"), Ok((200, _))).then_some(true)
        })?;
        if !ready {
            bail!("the sidecar ended: {}", process.output().lines().last().unwrap_or_default());
        }
        Ok(())
    }

    /// Whether `/readyz` says 200.
    pub fn is_ready(&self) -> bool {
        matches!(admin::get(self.admin.address(), "/readyz"), Ok((200, _)))
    }

    /// The status and text of `/readyz`.
    pub fn readyz(&self) -> Result<(u16, String)> {
        admin::get(self.admin.address(), "/readyz")
    }

    /// The status of `/livez`.
    pub fn livez(&self) -> Result<u16> {
        Ok(admin::get(self.admin.address(), "/livez")?.0)
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> Result<String> {
        Ok(admin::get(self.admin.address(), "/metrics")?.1)
    }

    /// Whether it was started and has not ended since.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Where clients connect.
    pub fn address(&self) -> Address {
        Address::Tcp(self.clients.address())
    }

    /// Where the other sidecar connects.
    pub fn replication(&self) -> SocketAddr {
        self.replication.address()
    }

    /// A new client connection.
    pub fn client(&self) -> Result<Client> {
        Client::connect(&self.address())
    }

    /// All it has logged so far, over all its starts.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}
