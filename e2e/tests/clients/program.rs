//! A client program: its set-up, and a run of it.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// A whole run takes no longer.
const PATIENCE: Duration = Duration::from_secs(180);
/// Exit code of the set-up for a runtime that is missing.
const MISSING: i32 = 3;

/// How a client program is started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    words: Vec<String>,
}

/// A child that does not outlive its run.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for one that is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Has the library put into the cache. `None`: its runtime is missing, which is a failure with `CI=true`.
    pub(crate) fn set_up(name: &str) -> Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/setup.sh");
        let output = Command::new(script).arg(name).output().context("cannot start setup.sh")?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.code() == Some(MISSING) {
            ensure!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{name} cannot run without {said}");
            eprintln!("skipped: {name} needs {said}");
            return Ok(None);
        }
        ensure!(output.status.success(), "{name} cannot be set up: {said}");
        let words: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
        ensure!(!words.is_empty(), "setup.sh says nothing of {name}");
        Ok(Some(Self { words }))
    }

    /// Runs it with these arguments to its end.
    pub(crate) fn run_with(&self, arguments: impl Iterator<Item = String>) -> Result<()> {
        let (first, rest) = self.words.split_first().context("no program")?;
        let output = Command::new(first).args(rest).args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() && said.trim().is_empty(), "{}: {said}", output.status);
        Ok(())
    }

    /// Runs a scenario and returns what was printed. `restart` is called when the program asks for it.
    pub(crate) fn run(
        &self,
        scenario: &str,
        port: u16,
        environment: &[(&str, String)],
        mut restart: impl FnMut() -> Result<()>,
    ) -> Result<Vec<String>> {
        let (first, rest) = self.words.split_first().context("no program")?;
        let mut command = Command::new(first);
        command.args(rest).args([scenario, "127.0.0.1", &port.to_string()]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut running = Running(command.spawn().with_context(|| format!("cannot start {first}"))?);
        let output = running.0.stdout.take().context("no output")?;
        let mut input = running.0.stdin.take().context("no input")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let end = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "restart" => {
                    restart()?;
                    // one that does not wait for it will be found out by what it prints
                    let _ = input.write_all(b"\n").and_then(|()| input.flush());
                }
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("it takes too long; so far it said {said:?}"),
            }
        }
        let status = running.0.wait()?;
        ensure!(status.success(), "{status} after {said:?}");
        Ok(said)
    }
}
