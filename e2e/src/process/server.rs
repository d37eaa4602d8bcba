//! A memcached process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Port, Process};
use crate::client::{Address, Client};
use crate::memcached::Executable;

/// Time to answer after the start; generous, since tests share the machine.
const START: Duration = Duration::from_secs(20);

/// A memcached, listening on a unix socket or on a TCP port. It can be killed and started again at the same address.
#[derive(Debug)]
pub struct Memcached {
    executable: Executable,
    address: Address,
    arguments: Vec<String>,
    log: PathBuf,
    process: Option<Process>,
    _port: Option<Port>,
}

impl Memcached {
    /// Starts one that listens on the unix socket `socket` only.
    pub fn on_socket(executable: &Executable, socket: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::start_at(executable, Address::Unix(socket.to_owned()), None, arguments, log)
    }

    /// Starts one that listens on a free TCP port of 127.0.0.1 only.
    pub fn on_tcp(executable: &Executable, arguments: &[&str], log: &Path) -> Result<Self> {
        let port = Port::reserve()?;
        Self::start_at(executable, Address::Tcp(port.address()), Some(port), arguments, log)
    }

    fn start_at(
        executable: &Executable,
        address: Address,
        port: Option<Port>,
        arguments: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let mut memcached = Memcached {
            executable: executable.clone(),
            address,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            log: log.to_owned(),
            process: None,
            _port: port,
        };
        memcached.start()?;
        Ok(memcached)
    }

    /// Starts it (again), empty, and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        self.kill();
        let mut command = Command::new(&self.executable.path);
        match &self.address {
            Address::Unix(path) => command.arg("-s").arg(path).args(["-a", "0777"]),
            Address::Tcp(SocketAddr::V4(v4)) => {
                command.args(["-l", &v4.ip().to_string(), "-p", &v4.port().to_string(), "-U", "0"])
            }
            Address::Tcp(SocketAddr::V6(_)) => bail!("tests use IPv4"),
        };
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "root"]);
        }
        command.args(&self.arguments);
        let mut process = Process::spawn("memcached", &mut command, &self.log)?;
        let address = &self.address;
        let answered = crate::wait::wait_for("memcached to answer", START, || {
            if !process.is_running() {
                return Some(false);
            }
            let mut client = Client::connect(address).ok()?;
            if self.arguments.iter().any(|argument| argument == "-Z" || argument == "-S") {
                // it speaks TLS, or the binary protocol only, and would not answer this client
                return Some(true);
            }
            // with -Y it does not say more to a stranger
            let answers = |line: String| line.starts_with("VERSION ") || line == "CLIENT_ERROR unauthenticated";
            client.exchange("version").is_ok_and(answers).then_some(true)
        });
        if !answered? {
            bail!("memcached ended at once: {}", process.output().trim());
        }
        self.process = Some(process);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Its process, unless it was killed.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Whether it was started and has not ended since.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A new connection to it.
    pub fn client(&self) -> Result<Client> {
        Client::connect(&self.address)
    }
}
