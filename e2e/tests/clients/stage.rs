//! What the programs are run against.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::client::Address;
use e2e::memcached::{Suite, find};
use e2e::paths::fresh_log_dir;
use e2e::process::{Authority, Memcached, Pair, PairOptions, TempDir};
use e2e::wait::wait_until;

use crate::program::Program;

/// What the server has to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// As it is by default.
    Plain,
    /// Clients speak TLS.
    Tls,
    /// Clients say who they are.
    Users,
}

impl Stage {
    /// For this scenario.
    pub(crate) fn of(scenario: &str) -> Self {
        match scenario {
            "tls" => Self::Tls,
            "login" => Self::Users,
            _ => Self::Plain,
        }
    }
}

/// Certificates of a server, and the environment of a client that believes them.
fn certificates() -> Result<(TempDir, Vec<(&'static str, String)>)> {
    let directory = TempDir::new()?;
    Authority::new("clients")?.write_dir(directory.path(), "cache")?;
    let ca = directory.path().join("ca.crt").display().to_string();
    Ok((directory, vec![("CLIENT_CA", ca)]))
}

fn port(address: &Address) -> Result<u16> {
    match address {
        Address::Tcp(address) => Ok(address.port()),
        Address::Unix(path) => bail!("{} is no port", path.display()),
    }
}

/// On memcached alone.
pub(crate) fn plain(program: &Program, scenario: &str, stage: Stage) -> Result<Vec<String>> {
    let (certificates, environment) = certificates()?;
    let logs = fresh_log_dir(&format!("clients-plain-{scenario}"))?;
    let file = |name: &str| certificates.path().join(name).display().to_string();
    let tls =
        ["-Z".to_owned(), "-o".to_owned(), format!("ssl_chain_cert={},ssl_key={}", file("tls.crt"), file("tls.key"))];
    let arguments: Vec<&str> = match stage {
        // with -Y it serves the text protocol only, in which no client of ours can say who it is
        Stage::Plain | Stage::Users => Vec::new(),
        Stage::Tls => tls.iter().map(String::as_str).collect(),
    };
    let mut memcached = Memcached::on_tcp(&find(Suite::Forky)?, &arguments, &logs.join("memcached.log"))?;
    let port = port(memcached.address())?;
    program.run(scenario, port, &environment, || memcached.start())
}

/// On one replica of a pair, and afterwards the other one has the same.
pub(crate) fn replica(program: &Program, scenario: &str, stage: Stage) -> Result<Vec<String>> {
    let (certificates, environment) = certificates()?;
    let directory = certificates.path().display().to_string();
    let users = format!("{directory}/users");
    std::fs::write(&users, "web:a long password\n")?;
    let options = PairOptions::new(&format!("clients-pair-{scenario}"), &find(Suite::Forky)?).quiet();
    let options = match stage {
        Stage::Plain => options,
        Stage::Tls => options.sidecar(&["--client-tls-dir", &directory]),
        Stage::Users => options.sidecar(&["--auth-file", &users]),
    };
    let mut pair = Pair::start(&options)?;
    let port = port(&pair.a.sidecar.address())?;
    let mut environment = environment;
    environment.extend([("CLIENT_USER", "web".to_owned()), ("CLIENT_PASSWORD", "a long password".to_owned())]);
    environment.push(("OTHER_PORT", self::port(&pair.b.sidecar.address())?.to_string()));
    let sidecar = &mut pair.a.sidecar;
    let said = program.run(scenario, port, &environment, || {
        sidecar.start()?;
        sidecar.wait_ready(Duration::from_secs(30))
    })?;
    pair.wait_equal().context("the other replica")?;
    Ok(said)
}

/// memcslap against one replica, in both protocols: all it wrote is on the other one, too.
pub(crate) fn slapped(program: &Program) -> Result<()> {
    // each of the threads writes all of them
    const KEYS: usize = 500;
    let options = PairOptions::new("clients-pair-memcslap", &find(Suite::Forky)?).quiet();
    let pair = Pair::start(&options)?;
    let port = port(&pair.a.sidecar.address())?;
    for protocol in [None, Some("--binary")] {
        let mut client = pair.a.client()?;
        client.exchange("flush_all")?;
        let arguments = [
            format!("--servers=127.0.0.1:{port}"),
            "--test=set".to_owned(),
            "--concurrency=4".to_owned(),
            format!("--execute-number={KEYS}"),
        ];
        program.run_with(arguments.into_iter().chain(protocol.map(str::to_owned)))?;
        wait_until("all that was written", Duration::from_secs(20), || {
            let stats = client.lines_until("stats", "END").map_err(|error| format!("{error:#}"))?;
            let items = stats.iter().find_map(|line| line.strip_prefix("STAT curr_items ")?.parse::<usize>().ok());
            if items.is_some_and(|items| items >= KEYS) { Ok(()) } else { Err(format!("{items:?} items")) }
        })?;
        pair.wait_equal().context("the other replica")?;
    }
    Ok(())
}
