//! Real processes: started with their logs kept, signalled, measured, and never left behind.

mod certificates;
mod guardian;
mod link;
mod pair;
mod port;
mod server;
mod sidecar;

pub use certificates::Authority;
pub use guardian::TempDir;
pub use link::{Faults, Flow, Proxy};
pub use pair::{Link, Pair, PairOptions, REQUESTS_PER_EVENT, Replica};
pub use port::Port;
pub use server::Memcached;
pub use sidecar::{Sidecar, SidecarOptions, sidecar_executable};

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::wait_for;

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`. It gets a process group of its own, so that Ctrl-C at a
    /// terminal reaches only us; the guardian kills it when we die.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = OpenOptions::new().create(true).append(true).open(log);
        let out = out.with_context(|| format!("cannot write the log {}", log.display()))?;
        let error = out.try_clone().context("cannot duplicate a file descriptor")?;
        command.stdin(Stdio::null()).stdout(out).stderr(error).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        guardian::watch(pid)?;
        Ok(Process { name: name.to_owned(), child, pid, log: log.to_owned() })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// All it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// SIGSTOP, and waits until none of its threads runs any more.
    pub fn suspend(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let tasks = format!("/proc/{}/task", self.pid());
        wait_for(&format!("{} to stand still", self.name), Duration::from_secs(10), || {
            let states = fs::read_dir(&tasks).ok()?.map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
            // after the name, which is in parentheses
            let stopped = |stat: Option<String>| stat?.rsplit_once(')').map(|(_, rest)| rest.starts_with(" T"));
            states.map(stopped).all(|stopped| stopped == Some(true)).then_some(())
        })
    }

    /// Whether it has not exited yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and waits for its end. Without effect on one that has exited.
    pub fn kill(&mut self) {
        // Both fail only for a process that is gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        guardian::forget(self.pid);
    }

    /// Waits until it exits by itself.
    pub fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {} (log: {})", self.name, self.log.display());
        let status = wait_for(&what, deadline, || self.child.try_wait().ok().flatten())?;
        guardian::forget(self.pid);
        Ok(status)
    }

    /// CPU time of all its threads up to now, as precise as the kernel tells.
    pub fn cpu_time(&self) -> Result<Duration> {
        let tasks = format!("/proc/{}/task", self.pid());
        let mut total = 0;
        for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
            let path = task?.path().join("schedstat");
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            total += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(total))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most that was ever resident, in bytes.
    pub fn peak_resident(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let line = line.with_context(|| format!("no {field} in {path}"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("an odd {field}"))?;
        Ok(kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> Process {
        Process::spawn("sleep", Command::new("sleep").arg("100"), &dir.join("sleep.log")).unwrap()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sleeper(dir.path());
        assert!(process.is_running());
        let path = format!("/proc/{}", process.pid());
        assert!(Path::new(&path).exists());
        drop(process);
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn output_exit_code_and_measures_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = sleeper(dir.path());
        assert!(process.resident().unwrap() > 0);
        process.cpu_time().unwrap();
        process.suspend().unwrap();
        process.signal(Signal::CONT).unwrap();
        process.signal(Signal::TERM).unwrap();
        assert!(!process.wait_exit(Duration::from_secs(5)).unwrap().success());
        let mut echo = Command::new("sh");
        echo.args(["-c", "echo out; echo err >&2; exit 3"]);
        let mut process = Process::spawn("sh", &mut echo, &dir.path().join("sh.log")).unwrap();
        assert_eq!(process.wait_exit(Duration::from_secs(5)).unwrap().code(), Some(3));
        assert_eq!(process.output(), "out\nerr\n");
    }
}
