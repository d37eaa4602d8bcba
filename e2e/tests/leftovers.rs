//! Whatever ends the demonstration or the fuzzing, nothing of it is left: no process, no file.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
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

/// Ends a command by each signal once it has printed `ready`.
fn ends_without_a_trace(arguments: &[&str], ready: &str) -> Result<()> {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let dir = tempfile::Builder::new().prefix("left-").tempdir_in("/tmp")?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
        command.args(arguments).env("TMPDIR", dir.path()).env("MEMCACHED_SIDECAR", sidecar_executable()?);
        let mut program = command.stdout(Stdio::piped()).spawn()?;
        // Kept open: it goes on printing.
        let mut output = BufReader::new(program.stdout.take().context("no output")?).lines().map_while(Result::ok);
        let line = output.find(|line| line.contains(ready));
        ensure!(line.is_some(), "it ended before it was ready");
        let complete = wait_for("two memcacheds and two sidecars", Duration::from_secs(20), || {
            (running(dir.path()) >= 4).then_some(())
        });
        if let Err(error) = complete {
            program.kill()?;
            bail!("{error}; it printed: {}", output.collect::<Vec<_>>().join("\n"));
        }
        kill_process(Pid::from_child(&program), signal)?;
        program.wait()?;
        wait_for("the end of all processes", Duration::from_secs(20), || (running(dir.path()) == 0).then_some(()))?;
        wait_for("the end of all files", Duration::from_secs(20), || {
            fs::read_dir(dir.path()).is_ok_and(|mut entries| entries.next().is_none()).then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn nothing_is_left_when_the_demonstration_is_ended() -> Result<()> {
    ends_without_a_trace(&["demo-local"], "ready and linked")
}

#[test]
fn nothing_is_left_when_the_fuzzing_is_ended() -> Result<()> {
    // A difference ends the fuzzing by itself: the same cases each time, in which there is none.
    ends_without_a_trace(&["fuzz", "--seed", "1"], "pipelines")
}
