//! Whatever ends the demonstration, nothing of it is left: no process, no file.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::sidecar_executable;
use e2e::wait::wait_for;
use rustix::process::{Pid, Signal, kill_process};

/// Processes whose command line names something in `dir`.
fn running(dir: &Path) -> usize {
    let dir = dir.to_string_lossy().into_owned();
    let names = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&dir)
    };
    fs::read_dir("/proc").map_or(0, |entries| entries.flatten().filter(names).count())
}

#[test]
fn nothing_is_left_when_the_demonstration_is_ended() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let dir = tempfile::Builder::new().prefix("left-").tempdir_in("/tmp")?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
        command.arg("demo-local").env("TMPDIR", dir.path()).env("MEMCACHED_SIDECAR", sidecar_executable()?);
        let mut demo = command.stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(demo.stdout.take().context("no output")?);
        let ready = output.lines().map_while(Result::ok).find(|line| line.contains("ready and linked"));
        ensure!(ready.is_some(), "the demonstration ended before it was ready");
        ensure!(running(dir.path()) >= 4, "less than two memcacheds and two sidecars");
        kill_process(Pid::from_child(&demo), signal)?;
        demo.wait()?;
        wait_for("the end of all processes", Duration::from_secs(20), || (running(dir.path()) == 0).then_some(()))?;
        wait_for("the end of all files", Duration::from_secs(20), || {
            fs::read_dir(dir.path()).is_ok_and(|mut entries| entries.next().is_none()).then_some(())
        })?;
    }
    Ok(())
}
