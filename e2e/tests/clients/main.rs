//! Clients as applications use them: each program of `e2e/clients` on plain memcached and on a pair, with the same output.

mod program;
mod stage;

use std::fs::read_to_string;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use program::Program;
use stage::{Stage, plain, replica};

/// One after the other: each starts several processes, and what they share is set up once.
static TURN: Mutex<()> = Mutex::new(());

/// Runs the scenarios of one client.
fn compare(name: &str, scenarios: &[&str]) -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(program) = Program::set_up(name)? else { return Ok(()) };
    for &scenario in scenarios {
        let stage = Stage::of(scenario);
        let about = || format!("{name}, {scenario}");
        let expected = plain(&program, scenario, stage).with_context(|| format!("{}, on plain memcached", about()))?;
        ensure!(expected.len() >= 3, "{}: memcached itself said only {expected:?}", about());
        let seen = replica(&program, scenario, stage).with_context(about)?;
        let differ = expected.iter().zip(&seen).find(|(expected, seen)| expected != seen);
        ensure!(
            expected == seen,
            "{}: the first difference is {differ:?}\nmemcached:\n{}\nthe pair:\n{}",
            about(),
            expected.join("\n"),
            seen.join("\n")
        );
        println!("{}: {} lines, the same as on memcached", about(), seen.len());
    }
    Ok(())
}

#[test]
fn pymemcache() -> Result<()> {
    compare("pymemcache", &["operations", "reconnect", "tls"])
}

#[test]
fn pylibmc() -> Result<()> {
    compare("pylibmc", &["operations", "operations-binary", "reconnect"])
}

#[test]
fn bmemcached() -> Result<()> {
    compare("bmemcached", &["operations", "reconnect", "tls"])
}

#[test]
fn memjs() -> Result<()> {
    compare("memjs", &["operations", "reconnect"])
}

#[test]
fn gomemcache() -> Result<()> {
    compare("gomemcache", &["operations", "reconnect", "tls"])
}

#[test]
fn spymemcached() -> Result<()> {
    compare("spymemcached", &["operations", "operations-binary", "reconnect"])
}

#[test]
fn php_memcached() -> Result<()> {
    compare("php-memcached", &["operations", "operations-binary", "reconnect", "reconnect-binary"])
}

#[test]
fn php_memcache() -> Result<()> {
    compare("php-memcache", &["operations", "reconnect"])
}

/// Who says the right password is served, and nobody else.
fn logs_in(name: &str) -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(program) = Program::set_up(name)? else { return Ok(()) };
    let said = replica(&program, "login", Stage::Users).with_context(|| format!("{name}, login"))?;
    let is_stranger = |line: &&String| line.starts_with("wrong: ") || line.starts_with("none: ");
    let (strangers, users): (Vec<&String>, Vec<&String>) = said.iter().partition(is_stranger);
    ensure!(users.iter().any(|line| line.to_lowercase().contains("set: true")), "{name}: {said:#?}");
    let served = |line: &&&String| ["true", "True", "'v'", "\"v\""].iter().any(|sign| line.contains(sign));
    ensure!(!strangers.is_empty() && !strangers.iter().any(|line| served(&line)), "{name}: {said:#?}");
    Ok(())
}

#[test]
fn right_and_wrong_passwords() -> Result<()> {
    for name in ["bmemcached", "memjs", "spymemcached", "php-memcached"] {
        logs_in(name)?;
    }
    Ok(())
}

/// A visitor of a web site, whose sessions are kept with locks: at one replica, at the other one while the first is restarted, and
/// back.
#[test]
fn php_sessions_across_the_pair_while_one_is_restarted() -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(program) = Program::set_up("php-memcached")? else { return Ok(()) };
    for scenario in ["sessions", "sessions-binary"] {
        let said = replica(&program, scenario, Stage::Plain).context(scenario)?;
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
    ensure!(versions.len() == 6, "{versions:?}");
    for (name, version) in versions {
        ensure!(readme.contains(&format!("| {version} |")), "{name} {version} is not in the table");
    }
    Ok(())
}
