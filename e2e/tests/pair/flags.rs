//! Flags: a bad one is one line that names it, and exit code 2.

use std::process::Command;

use anyhow::{Result, ensure};
use e2e::process::sidecar_executable;

const GOOD: &[(&str, &str)] = &[
    ("--memcached", "unix:/nonexistent/memcached.sock"),
    ("--pair-id", "test"),
    ("--replica-id", "0"),
    ("--listen", "127.0.0.1:0"),
    ("--replication-listen", "127.0.0.1:0"),
    ("--admin-listen", "127.0.0.1:0"),
];

fn run(arguments: &[String], environment: &[(&str, &str)]) -> Result<(Option<i32>, String)> {
    let output = Command::new(sidecar_executable()?).args(arguments).envs(environment.iter().copied()).output()?;
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

/// The good flags with one of them changed, added, or (None) left out.
fn with(flag: &str, value: Option<&str>) -> Vec<String> {
    let mut arguments = vec!["--insecure-replication".to_owned()];
    for (name, good) in GOOD.iter().filter(|(name, _)| *name != flag) {
        arguments.extend([(*name).to_owned(), (*good).to_owned()]);
    }
    arguments.extend(value.map(|value| format!("{flag}={value}")));
    arguments
}

#[test]
fn a_bad_flag_is_one_line_and_exit_code_2() -> Result<()> {
    let bad = [
        ("--memcached", None),
        ("--memcached", Some("")),
        ("--memcached", Some("nonsense")),
        ("--pair-id", None),
        ("--pair-id", Some("")),
        ("--replica-id", None),
        ("--replica-id", Some("2")),
        ("--replica-id", Some("x")),
        ("--listen", Some("nonsense")),
        ("--listen", Some("127.0.0.1:99999")),
        ("--peer", Some("noport")),
        ("--replication-listen", Some("x")),
        ("--admin-listen", Some("x")),
        ("--backlog", Some("1x")),
        ("--backlog", Some("-1")),
        ("--state-entries", Some("0")),
        ("--state-entries", Some("x")),
        ("--threads", Some("0")),
        ("--busy-poll", Some("1001")),
        ("--max-connections", Some("0")),
        ("--warmup-deadline", Some("-1")),
        ("--drain-delay", Some("soon")),
        ("--resync-rate", Some("fast")),
        ("--log-format", Some("xml")),
        ("--log-level", Some("loud")),
        ("--auth-file", Some("/dev/null")),
        ("--client-tls-dir", Some("/")),
        ("--nonsense", Some("1")),
    ];
    for (flag, value) in bad {
        let (code, error) = run(&with(flag, value), &[])?;
        ensure!(code == Some(2), "{flag} {value:?}: exit code {code:?}: {error}");
        ensure!(error.trim_end().lines().count() == 1 && error.contains(flag), "{flag} {value:?}: {error:?}");
    }
    Ok(())
}

#[test]
fn plain_tcp_between_the_sidecars_must_be_asked_for() -> Result<()> {
    let arguments: Vec<String> = with("--none", None).into_iter().skip(1).collect();
    let (code, error) = run(&arguments, &[])?;
    ensure!(code == Some(2) && error.contains("--insecure-replication") && error.contains("--tls-dir"), "{error}");
    Ok(())
}

#[test]
fn a_bad_environment_variable_is_named() -> Result<()> {
    let (code, error) = run(&with("--replica-id", None), &[("RMC_REPLICA_ID", "7")])?;
    ensure!(code == Some(2) && error.trim_end().lines().count() == 1, "{code:?}: {error}");
    ensure!(error.contains("--replica-id") || error.contains("RMC_REPLICA_ID"), "{error}");
    Ok(())
}

#[test]
fn help_explains_every_flag() -> Result<()> {
    let output = Command::new(sidecar_executable()?).arg("--help").output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success());
    for flag in [
        "--listen",
        "--memcached",
        "--replication-listen",
        "--peer",
        "--pair-id",
        "--replica-id",
        "--state-dir",
        "--state-entries",
        "--tls-dir",
        "--insecure-replication",
        "--control-listen",
        "--admin-listen",
        "--threads",
        "--busy-poll",
        "--max-connections",
        "--backlog",
        "--warmup-deadline",
        "--drain-delay",
        "--resync-rate",
        "--auth-file",
        "--client-tls-dir",
        "--log-format",
        "--log-level",
    ] {
        ensure!(text.contains(flag), "no {flag} in --help");
    }
    Ok(())
}
