//! Clients as applications use them: each program of `e2e/clients` on plain memcached and on a pair, with the same output. So
//! for the test suites that clients ship.

mod program;
mod sasl;
mod stage;

use std::fs::read_to_string;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use program::Program;
use stage::{plain, replica};

/// One after the other: each starts several processes, and what they share is set up once.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a scenario on both, and returns what the program said each time.
fn both(program: &Program, about: &str, scenario: &str) -> Result<Vec<String>> {
    let expected = plain(program, scenario).with_context(|| format!("{about}, on plain memcached"))?;
    let seen = replica(program, scenario).with_context(|| about.to_owned())?;
    let differ = expected.iter().zip(&seen).find(|(expected, seen)| expected != seen);
    ensure!(
        expected == seen,
        "{about}: the first difference is {differ:?}\nmemcached:\n{}\nthe pair:\n{}",
        expected.join("\n"),
        seen.join("\n")
    );
    println!("{about}: {} lines, the same as on memcached", seen.len());
    Ok(seen)
}

/// Runs the scenarios of one client.
fn compare(name: &str, scenarios: &[&str]) -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(program) = Program::set_up(name)? else { return Ok(()) };
    for &scenario in scenarios {
        let about = format!("{name}, {scenario}");
        let said = both(&program, &about, scenario)?;
        ensure!(said.len() >= 3, "{about}: it did nothing but {said:?}");
        if scenario.starts_with("login") {
            only_users_are_served(&said).context(about)?;
        }
    }
    Ok(())
}

/// Runs the tests that a client ships, of which so many pass on plain memcached, too.
fn suite(name: &str, passes: usize) -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(program) = Program::set_up(name)? else { return Ok(()) };
    let said = both(&program, name, "suite")?;
    let passed = |line: &&String| ["passed", "... ok", "[pass]", "--- PASS"].iter().any(|sign| line.contains(sign));
    let seen = said.iter().filter(passed).count();
    ensure!(seen == passes, "{name}: {seen} tests pass, not {passes}: {}", said.join("\n"));
    Ok(())
}

/// Who says the right password is served, and nobody else; should both servers let everybody in, what they say is equal.
fn only_users_are_served(said: &[String]) -> Result<()> {
    let is_stranger =
        |line: &&String| ["wrong: ", "wrong user: ", "none: "].iter().any(|start| line.starts_with(start));
    let (strangers, users): (Vec<&String>, Vec<&String>) = said.iter().partition(is_stranger);
    let served =
        |line: &String| ["true", "True", "'v'", "\"v\"", "done", "()", ": 0 "].iter().any(|sign| line.contains(sign));
    ensure!(users.iter().filter(|line| served(line)).count() > 5, "{said:#?}");
    for which in ["wrong: ", "wrong user: ", "none: "] {
        ensure!(strangers.iter().any(|line| line.starts_with(which)), "{which}is not tried: {said:#?}");
    }
    let let_in: Vec<_> = strangers.into_iter().filter(|line| served(line)).collect();
    ensure!(let_in.is_empty(), "{let_in:?}");
    Ok(())
}

#[test]
fn pymemcache() -> Result<()> {
    compare("pymemcache", &["operations", "reconnect", "tls", "login-text", "login-text-tls"])
}

#[test]
fn pylibmc() -> Result<()> {
    compare("pylibmc", &["operations", "operations-binary", "reconnect", "login-text"])
}

/// Another build of it: the wheel of PyPI has no SASL.
#[test]
fn pylibmc_with_sasl() -> Result<()> {
    compare("pylibmc-sasl", &["operations-binary", "login"])
}

#[test]
fn bmemcached() -> Result<()> {
    compare("bmemcached", &["operations", "reconnect", "tls", "login", "login-tls"])
}

#[test]
fn memjs() -> Result<()> {
    compare("memjs", &["operations", "reconnect", "login"])
}

#[test]
fn gomemcache() -> Result<()> {
    compare("gomemcache", &["operations", "reconnect", "tls", "login-text", "login-text-tls"])
}

#[test]
fn rust_memcache() -> Result<()> {
    let text = ["operations-text", "reconnect-text", "tls-text", "login-text", "login-text-tls"];
    compare("rust-memcache", &["operations", "operations-meta", "reconnect", "tls", "login", "login-tls"])?;
    compare("rust-memcache", &text)
}

#[test]
fn spymemcached() -> Result<()> {
    compare("spymemcached", &["operations", "operations-binary", "reconnect", "login", "login-text"])
}

#[test]
fn php_memcached() -> Result<()> {
    let without = ["operations", "operations-binary", "reconnect", "reconnect-binary"];
    compare("php-memcached", &without)?;
    compare("php-memcached", &["login", "login-text"])
}

#[test]
fn php_memcache() -> Result<()> {
    compare("php-memcache", &["operations", "reconnect", "login-text"])
}

#[test]
fn libmemcached_tools() -> Result<()> {
    compare("tools", &["operations", "operations-binary", "login"])
}

#[test]
fn suite_of_pymemcache() -> Result<()> {
    suite("suite-pymemcache", 100)
}

#[test]
fn suite_of_bmemcached() -> Result<()> {
    suite("suite-bmemcached", 151)
}

#[test]
fn suite_of_pylibmc() -> Result<()> {
    suite("suite-pylibmc", 41)
}

#[test]
fn suite_of_gomemcache() -> Result<()> {
    suite("suite-gomemcache", 1)
}

#[test]
fn suite_of_the_crate_memcache() -> Result<()> {
    suite("suite-rust-memcache", 70)
}

#[test]
fn memccapable() -> Result<()> {
    suite("suite-memccapable", 52)
}

/// A visitor of a web site, whose sessions are kept with locks: at one replica, at the other one while the first is restarted, and
/// back.
#[test]
fn php_sessions_across_the_pair_while_one_is_restarted() -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(program) = Program::set_up("php-memcached")? else { return Ok(()) };
    for scenario in ["sessions", "sessions-binary"] {
        let said = replica(&program, scenario).context(scenario)?;
        let visits = |from: u32, to: u32| {
            let all: Vec<String> = (from..=to).map(|visit| visit.to_string()).collect();
            format!("[{}]", all.join(","))
        };
        let expected = [
            format!("visits at one: {}", visits(1, 20)),
            "seen at the other: true".to_owned(),
            format!("visits at the other: {}", visits(21, 40)),
            "served again".to_owned(),
            format!("visits at one: {}", visits(41, 50)),
            "seen at the other: true".to_owned(),
            "locks: false".to_owned(),
            format!("visits at the other: {}", visits(51, 51)),
        ];
        ensure!(said == expected, "{scenario}: {said:#?}");
    }
    Ok(())
}

/// libmemcached's load generator: what it was told to do is done.
#[test]
fn memcslap() -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(program) = Program::set_up("memcslap")? else { return Ok(()) };
    stage::slapped(&program)
}

#[test]
fn the_readme_names_the_versions_that_are_run() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let setup = read_to_string(here.join("clients/setup.sh"))?;
    let readme = read_to_string(here.join("../README.md"))?;
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
    let versions: Vec<_> =
        setup.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| is_name(name)).collect();
    ensure!(versions.len() == 7, "{versions:?}");
    for (name, version) in versions {
        ensure!(readme.contains(&format!("| {version} |")), "{name} {version} is not in the table");
    }
    Ok(())
}
