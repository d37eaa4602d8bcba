//! The two things that are compared.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::compare::CasPairs;
use super::script::{self, Case, Cut, Seen};
use crate::client::Address;
use crate::memcached::{Suite, find};
use crate::paths::fresh_log_dir;
use crate::process::{Memcached, Sidecar, SidecarOptions, TempDir};

/// memcached itself, and another one of the same version and with the same arguments behind a sidecar.
pub struct Endpoints {
    /// memcached itself
    pub reference: Memcached,
    behind: Memcached,
    sidecar: Sidecar,
    /// of both memcacheds
    pub(super) version: String,
    log: String,
    _directory: TempDir,
}

impl Endpoints {
    /// Starts all three processes; logs go to a directory named after `test`.
    pub fn start(test: &str, suite: Suite, arguments: &[&str]) -> Result<Self> {
        Self::start_with(test, suite, (arguments, arguments), &[])
    }

    /// The same where one thing is asked of memcached itself, and of the sidecar before the other one.
    pub fn start_apart(test: &str, suite: Suite, memcached: &[&str], sidecar: &[&str]) -> Result<Self> {
        Self::start_with(test, suite, (memcached, &[]), sidecar)
    }

    fn start_with(
        test: &str,
        suite: Suite,
        (alone, before): (&[&str], &[&str]),
        sidecar_arguments: &[&str],
    ) -> Result<Self> {
        let executable = find(suite)?;
        let logs = fresh_log_dir(&format!("differential-{test}-{}", executable.version))?;
        let directory = TempDir::new()?;
        let reference = Memcached::on_tcp(&executable, alone, &logs.join("reference.log"))?;
        let socket = directory.path().join("memcached.sock");
        let behind = Memcached::on_socket(&executable, &socket, before, &logs.join("behind.log"))?;
        let state_dir = directory.path().join("state");
        std::fs::create_dir(&state_dir)?;
        let options = SidecarOptions {
            memcached: Address::Unix(socket),
            peer: None,
            replica_id: 0,
            pair_id: "e2e".to_owned(),
            state_dir: Some(state_dir),
            tls_dir: None,
            arguments: [&["--warmup-deadline", "0", "--threads", "2"], sidecar_arguments]
                .concat()
                .into_iter()
                .map(String::from)
                .collect(),
            environment: Vec::new(),
        };
        let log = logs.display().to_string();
        let mut sidecar = Sidecar::prepare(options, &logs.join("sidecar.log"))?;
        sidecar.start()?;
        sidecar.wait_ready(Duration::from_secs(20)).with_context(|| format!("logs: {log}"))?;
        let version = executable.version.to_string();
        Ok(Endpoints { reference, behind, sidecar, version, log, _directory: directory })
    }

    /// Which of the three processes has ended although nobody told it to.
    pub fn dead(&mut self) -> Option<String> {
        let name = match (self.reference.is_running(), self.behind.is_running(), self.sidecar.is_running()) {
            (_, _, false) => "the sidecar",
            (_, false, _) => "the memcached behind the sidecar",
            (false, ..) => "memcached itself",
            _ => return None,
        };
        Some(format!("{name} has died (logs: {})", self.log))
    }

    /// Where clients reach the sidecar.
    pub fn ours(&self) -> Address {
        self.sidecar.address()
    }

    /// What memcached itself answers.
    pub fn reference(&self, case: &Case, cut: Cut) -> Result<Seen> {
        script::run(case, self.reference.address(), &self.version, cut)
    }

    /// Runs a case on both and compares; the first difference is the error.
    pub fn compare(&self, case: &Case, cut: Cut) -> Result<()> {
        let expected = self.reference(case, cut);
        let expected = expected.with_context(|| format!("memcached itself: {}", self.about(case, cut)))?;
        for shown in &case.shows {
            let about = || self.about(case, cut);
            ensure!(
                expected.contains(shown.as_bytes()),
                "memcached did not show {shown:?} but {expected:?}: {}",
                about()
            );
        }
        self.compare_with(&expected, case, cut)
    }

    /// Compares with what memcached answered.
    pub fn compare_with(&self, expected: &Seen, case: &Case, cut: Cut) -> Result<()> {
        let about = || self.about(case, cut);
        let seen = script::run(case, &self.ours(), &self.version, cut);
        let seen = seen.with_context(|| format!("{}\nmemcached answered {expected:?}", about()))?;
        CasPairs::default().compare(expected, &seen).map_err(anyhow::Error::msg).with_context(about)
    }

    fn about(&self, case: &Case, cut: Cut) -> String {
        format!("{case}, sent {cut:?} (memcached {}, logs: {})", self.version, self.log)
    }

    /// Compares all cases, in each way of cutting the bytes into segments that they allow; all failures in one error.
    pub fn compare_all(&self, cases: &[Case]) -> Result<()> {
        let mut failures = Vec::new();
        for case in cases {
            let cuts: &[Cut] = if case.one_segment { &[Cut::Whole] } else { &Cut::ALL };
            failures.extend(cuts.iter().filter_map(|&cut| self.compare(case, cut).err()).take(1));
        }
        let text: Vec<String> = failures.iter().map(|failure| format!("{failure:#}")).collect();
        ensure!(failures.is_empty(), "{} of {} cases differ:\n\n{}", failures.len(), cases.len(), text.join("\n\n"));
        Ok(())
    }
}
