//! Real memcached processes for tests.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "how a test is told where memcached is, and waits for it"
)]

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The executable of a release, named by an environment variable. `None`, with a line that says
/// so: the test is to be skipped.
///
/// # Panics
/// In CI, where a skip is a failure.
pub(crate) fn find(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!in_ci, "{variable} names no memcached, and CI=true");
        println!("skipped: {variable} does not name a memcached executable");
    }
    path
}

/// A memcached on a unix socket; ends with this value.
pub(crate) struct Memcached {
    child: Child,
    directory: TempDir,
}

impl Memcached {
    /// Starts one and waits until it answers.
    pub(crate) fn start(executable: &PathBuf, arguments: &[&str]) -> io::Result<Self> {
        let directory = TempDir::new()?;
        let child = Command::new(executable)
            .args(["-u", "root", "-s"])
            .arg(directory.path().join("socket"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let memcached = Self { child, directory };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match memcached.connect() {
                Ok(_) => return Ok(memcached),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(self.directory.path().join("socket"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(stream)
    }

    /// Everything that is answered to `bytes` on a connection of their own, to its end. The end of
    /// our side is shown right behind them.
    pub(crate) fn answers(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.connect()?;
        match stream.write_all(bytes) {
            Ok(()) => {}
            // It closes before it has read all.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
        let _ = stream.shutdown(Shutdown::Write);
        let mut answers = Vec::new();
        match stream.read_to_end(&mut answers) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            _ => Ok(answers),
        }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
