//! Random histories in all protocols, each of valid, odd and broken requests. PROPTEST_CASES of each, 300 if not said.

use std::cell::RefCell;

use anyhow::Result;
use e2e::differential::fuzz::{Lane, Outcome};
use e2e::differential::generate::{Protocol, damaged, valid};
use e2e::differential::history::History;
use e2e::memcached::Suite;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

fn run(test: &str, suite: Suite, histories: impl Strategy<Value = History>) -> Result<()> {
    let lane = RefCell::new(Lane::new(test, suite)?);
    let wanted = std::env::var("PROPTEST_CASES").ok();
    let cases = wanted.and_then(|cases| cases.parse().ok()).unwrap_or(300);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&histories, |history| match lane.borrow_mut().check(&history) {
        Ok(Outcome::Same) => Ok(()),
        // Damage has made a value longer than what follows.
        Ok(Outcome::Unanswered(error)) => Err(TestCaseError::reject(format!("{error:#}"))),
        Ok(Outcome::Differs(difference)) => Err(TestCaseError::fail(difference.reason)),
        Err(error) => Err(TestCaseError::fail(format!("{error:#}"))),
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, history)) => {
            anyhow::bail!("{reason}\n{history}\ne2e fuzz --replay of this line runs it again:\n{}", history.line()?)
        }
        Err(error) => Err(error.into()),
    }
}

fn on_both(test: &str, histories: impl Fn() -> BoxedStrategy<History>) -> Result<()> {
    Suite::TESTED.iter().try_for_each(|&suite| run(test, suite, histories()))
}

#[test]
fn random_lines() -> Result<()> {
    on_both("random-text", || valid(Protocol::Text))
}

#[test]
fn random_meta_lines() -> Result<()> {
    on_both("random-meta", || valid(Protocol::Meta))
}

#[test]
fn random_packets() -> Result<()> {
    on_both("random-binary", || valid(Protocol::Binary))
}

#[test]
fn random_requests_of_all_protocols() -> Result<()> {
    on_both("random-all", || valid(Protocol::All))
}

#[test]
fn damaged_requests() -> Result<()> {
    on_both("random-damaged", || damaged(Protocol::All))
}
