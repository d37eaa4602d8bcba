//! The servers of one release, kept alive from case to case.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::compare::TICK;
use super::super::endpoints::Endpoints;
use super::super::history::{History, Server};
use super::doubt::Doubt;
use crate::memcached::{Suite, find};

/// Time for memcached itself to answer; in vain where damage has made a value longer than what follows.
const REFERENCE_PATIENCE: Duration = Duration::from_secs(2);
/// Time for the sidecar: generous, since machines are shared.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same while a case that differs is made smaller, which takes many runs of it.
const HURRIED: Duration = Duration::from_secs(3);
/// A case of a few milliseconds that takes so long stood still with the machine.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// How often a case in doubt is played again. What differs each time is a difference.
const AGAIN: u32 = 5;
/// So many cases a server sees: what they leave behind, as a full memory would be, is not known to who replays one.
const CASES_EACH: u32 = 2000;
/// Sets before the first case, so that cas numbers in the cases are lower than memcached's.
const EARLIER: usize = 1000;

/// What came of a case.
#[derive(Debug)]
pub enum Outcome {
    /// no difference
    Same,
    /// memcached itself did not answer in time, so there is nothing to compare with
    Unanswered(anyhow::Error),
    /// they differ
    Differs(Difference),
}

/// The first difference.
#[derive(Debug)]
pub struct Difference {
    /// what differs
    pub reason: String,
    /// none: it is the sidecar's
    doubt: Option<Doubt>,
}

/// Servers of one release, each started when it is first needed, and again when one of it has died.
pub struct Lane {
    suite: Suite,
    name: String,
    version: String,
    running: Vec<(Server, Endpoints)>,
    cases: u32,
    started: u32,
    /// see [`Lane::repeated`]
    repeated: u64,
    /// see [`HURRIED`]
    pub(super) hurried: bool,
}

impl Lane {
    /// Logs of its servers go to directories with `name` in theirs.
    pub fn new(name: &str, suite: Suite) -> Result<Self> {
        let version = find(suite)?.version.to_string();
        Ok(Lane {
            suite,
            name: name.to_owned(),
            version,
            running: Vec::new(),
            cases: 0,
            started: 0,
            repeated: 0,
            hurried: false,
        })
    }

    /// The version of memcached.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many cases differed in doubt, and did not when they were played again.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Plays a case on both and compares, again while what differs is in doubt. Its keys are new ones. A server that has
    /// died is a difference too.
    pub fn check(&mut self, history: &History) -> Result<Outcome> {
        let mut times = 0;
        loop {
            match self.check_once(history)? {
                Outcome::Differs(Difference { reason, doubt: Some(doubt) }) if times < AGAIN => {
                    println!("memcached {}: differed, again ({doubt:?}): {reason}", self.version);
                    if doubt == Doubt::Memory {
                        self.running.clear();
                    }
                    times += 1;
                }
                outcome => {
                    self.repeated += u64::from(times > 0 && matches!(outcome, Outcome::Same));
                    return Ok(outcome);
                }
            }
        }
    }

    fn check_once(&mut self, history: &History) -> Result<Outcome> {
        self.cases += 1;
        if self.cases.is_multiple_of(CASES_EACH) {
            self.running.clear();
        }
        let (number, version, hurried) = (self.cases, self.version.clone(), self.hurried);
        let endpoints = self.endpoints(history.server)?;
        let outcome = play_on_both(history, number, endpoints, &version, hurried);
        let dead = endpoints.dead();
        let waits = matches!(&outcome, Outcome::Differs(difference) if difference.reason.contains("no answer in time"));
        if dead.is_some() || waits {
            // What one of them still waits for shall not meet the next case.
            self.running.retain(|(server, _)| *server != history.server);
        }
        let Some(dead) = dead else { return Ok(outcome) };
        let reason = match outcome {
            Outcome::Differs(difference) => format!("{dead}\n{}", difference.reason),
            Outcome::Same | Outcome::Unanswered(_) => dead,
        };
        Ok(Outcome::Differs(Difference { reason, doubt: None }))
    }

    fn endpoints(&mut self, server: Server) -> Result<&mut Endpoints> {
        let at = match self.running.iter().position(|(running, _)| *running == server) {
            Some(at) => at,
            None => {
                // The logs of those that have died are kept.
                self.started += 1;
                let name = format!("{}-{}", self.name, self.started);
                let endpoints = Endpoints::start(&name, self.suite, server.arguments())?;
                let sets = "set earlier 0 0 1\r\n1\r\n".repeat(EARLIER);
                for address in [endpoints.reference.address().clone(), endpoints.ours()] {
                    let mut client = crate::client::Client::connect(&address)?;
                    client.send(sets.as_bytes())?;
                    client.read_exact(EARLIER * "STORED\r\n".len())?;
                }
                self.running.push((server, endpoints));
                self.running.len() - 1
            }
        };
        Ok(&mut self.running[at].1)
    }
}

/// Plays a case, as the one of this number, on memcached and behind the sidecar.
fn play_on_both(history: &History, number: u32, endpoints: &Endpoints, version: &str, hurried: bool) -> Outcome {
    let patience = if hurried { HURRIED } else { PATIENCE };
    let start = Instant::now();
    let expected = match history.play(number, endpoints.reference.address(), version, REFERENCE_PATIENCE) {
        Ok(expected) => expected,
        Err(error) => return Outcome::Unanswered(error),
    };
    let seen = history.play(number, &endpoints.ours(), version, patience);
    let stood_still = start.elapsed() > STOOD_STILL && !hurried;
    let (reason, doubt) = match seen {
        Err(error) => (format!("{error:#}\n  memcached: {expected:?}"), None),
        Ok(seen) => match history.compare(&expected, &seen, TICK) {
            Ok(()) => return Outcome::Same,
            Err(reason) => (reason, Doubt::about(history, &expected, &seen)),
        },
    };
    Outcome::Differs(Difference { reason, doubt: doubt.or(stood_still.then_some(Doubt::StoodStill)) })
}
