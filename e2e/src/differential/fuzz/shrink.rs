//! The smallest case that still differs.

use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::super::generate::{Protocol, histories};
use super::super::history::{History, Step};
use super::{Lane, Outcome};

/// Runs of the case while it is made smaller.
const RUNS: u32 = 3000;
/// The same as time, milliseconds.
const TIME: u32 = 120_000;
/// Time to take away what proptest leaves.
const TRIMMING: Duration = Duration::from_secs(60);
/// How often a case is tried before it counts as one that differs by chance.
const TRIES: usize = 20;

/// A difference.
#[derive(Clone, Debug)]
pub struct Finding {
    seed: Option<(Protocol, u64)>,
    version: String,
    /// differs sometimes only
    by_chance: bool,
    /// the case
    pub history: History,
    /// what differs
    pub reason: String,
}

impl Finding {
    pub(super) fn new(lane: &Lane, seed: Option<(Protocol, u64)>, history: History, reason: String) -> Self {
        Finding { seed, version: lane.version().to_owned(), by_chance: false, history, reason }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "DIFFERENCE on memcached {}", self.version)?;
        writeln!(f, "{}\n{}", self.reason, self.history)?;
        if self.by_chance {
            writeln!(f, "(it did not differ again in {TRIES} runs of the same case, so it was not made smaller)")?;
        }
        if let Some((protocol, seed)) = self.seed {
            let protocol = format!("{protocol:?}").to_lowercase();
            writeln!(f, "the whole case:   e2e fuzz --protocol {protocol} --seed {seed} --cases 1")?;
        }
        writeln!(f, "the smallest one: put this line into a file, and e2e fuzz --replay FILE")?;
        write!(f, "{}", self.history.line().map_err(|_| fmt::Error)?)
    }
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config =
        Config { failure_persistence: None, max_shrink_iters: RUNS, max_shrink_time: TIME, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// The case of a seed; the same each time.
fn tree(protocol: Protocol, seed: u64) -> Result<(TestRunner, impl ValueTree<Value = History>)> {
    let mut runner = runner(seed);
    let tree = histories(protocol).new_tree(&mut runner);
    Ok((runner, tree.map_err(|reason| anyhow::anyhow!("no case of seed {seed}: {reason}"))?))
}

/// The case of a seed.
pub fn history_of(protocol: Protocol, seed: u64) -> Result<History> {
    Ok(tree(protocol, seed)?.1.current())
}

/// Makes a case that differs smaller as long as it does. `reason` is what differed the first time.
pub fn smallest(lane: &mut Lane, protocol: Protocol, seed: u64, reason: String) -> Result<Finding> {
    lane.hurried = true;
    let found = search(lane, protocol, seed);
    lane.hurried = false;
    Ok(match found? {
        Some((history, reason)) => Finding::new(lane, Some((protocol, seed)), history, reason),
        None => {
            let finding = Finding::new(lane, Some((protocol, seed)), history_of(protocol, seed)?, reason);
            Finding { by_chance: true, ..finding }
        }
    })
}

fn search(lane: &mut Lane, protocol: Protocol, seed: u64) -> Result<Option<(History, String)>> {
    let shared = RefCell::new((lane, None::<anyhow::Error>));
    for _ in 0..TRIES {
        let (mut runner, tree) = tree(protocol, seed)?;
        let outcome = runner.run_one(tree, |history| {
            let (lane, failure) = &mut *shared.borrow_mut();
            match lane.check(&history) {
                Ok(Outcome::Same) => Ok(()),
                Ok(Outcome::Unanswered(error)) => Err(TestCaseError::reject(format!("{error:#}"))),
                Ok(Outcome::Differs(difference)) => Err(TestCaseError::fail(difference.reason)),
                // Not a difference: this program cannot go on.
                Err(error) => {
                    *failure = Some(error);
                    Ok(())
                }
            }
        });
        if let Some(error) = shared.borrow_mut().1.take() {
            return Err(error).context("while the case was made smaller");
        }
        match outcome {
            Ok(_) => {}
            Err(TestError::Fail(reason, history)) => {
                let lane = &mut *shared.borrow_mut().0;
                return trim(lane, history, reason.message().to_owned()).map(Some);
            }
            Err(TestError::Abort(reason)) => bail!("{reason}"),
        }
    }
    Ok(None)
}

/// Takes away steps, lines, packets and words that proptest cannot, since the strategy always makes them.
fn trim(lane: &mut Lane, mut history: History, mut reason: String) -> Result<(History, String)> {
    let end = Instant::now() + TRIMMING;
    let mut at = 0;
    // The list changes with the case: what comes behind `at` has not been tried since the last change.
    while let Some(smaller) = without(&history, at).filter(|_| Instant::now() < end) {
        match lane.check(&smaller)? {
            Outcome::Differs(difference) => (history, reason) = (smaller, difference.reason),
            Outcome::Same | Outcome::Unanswered(_) => at += 1,
        }
    }
    Ok((history, reason))
}

/// The case without its part number `at`: first all steps, then all lines and packets, then all words.
fn without(history: &History, at: usize) -> Option<History> {
    let removed = |step: usize, part: Option<Step>| {
        let mut smaller = history.clone();
        match part {
            Some(part) => *smaller.steps.get_mut(step)? = part,
            None => drop(smaller.steps.remove(step)),
        }
        Some(smaller)
    };
    let count = history.steps.len();
    if at < count {
        return removed(count - 1 - at, None);
    }
    let mut left = at - count;
    for separator in [b'\n', b' '] {
        for (number, step) in history.steps.iter().enumerate() {
            match step {
                Step::Lines { on, lines } => {
                    let parts: Vec<&[u8]> = lines.split_inclusive(|&byte| byte == separator).collect();
                    if left < parts.len() {
                        let kept = parts.iter().enumerate().filter(|(part, _)| *part != left);
                        let lines = kept.flat_map(|(_, part)| part.iter().copied()).collect();
                        return removed(number, Some(Step::Lines { on: *on, lines }));
                    }
                    left -= parts.len();
                }
                Step::Packets(batch) if separator == b'\n' => {
                    if left < batch.pieces.len() {
                        let mut batch = batch.clone();
                        batch.pieces.remove(left);
                        return removed(number, Some(Step::Packets(batch)));
                    }
                    left -= batch.pieces.len();
                }
                Step::Packets(_) => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::script::Cut;

    #[test]
    fn each_part_is_left_out_once() {
        let lines = |lines: &str| Step::Lines { on: 0, lines: lines.into() };
        let steps = vec![lines("get a b\r\nmn\r\n"), lines("mn\r\n")];
        let history = History { cut: Cut::Whole, padding: 0, server: Default::default(), steps };
        let seen: Vec<String> = (0..)
            .map_while(|at| without(&history, at))
            .map(|smaller| {
                let text = |step: &Step| match step {
                    Step::Lines { lines, .. } => String::from_utf8_lossy(lines).replace("\r\n", ";"),
                    Step::Packets(_) => String::new(),
                };
                smaller.steps.iter().map(text).collect::<Vec<_>>().join("|")
            })
            .collect();
        let expected = [
            "get a b;mn;",
            "mn;",
            "mn;|mn;",
            "get a b;|mn;",
            "get a b;mn;|",
            "a b;mn;|mn;",
            "get b;mn;|mn;",
            "get a |mn;",
            "get a b;mn;|",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_seed_is_the_same_case_each_time() -> Result<()> {
        for seed in 0..20 {
            assert_eq!(history_of(Protocol::All, seed)?, history_of(Protocol::All, seed)?);
        }
        let different = (0..20).filter_map(|seed| history_of(Protocol::All, seed).ok()?.line().ok());
        assert_eq!(different.collect::<std::collections::HashSet<_>>().len(), 20);
        Ok(())
    }
}
