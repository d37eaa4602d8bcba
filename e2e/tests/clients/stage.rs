//! What the programs are run against.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::client::Address;
use e2e::memcached::{Suite, find};
use e2e::paths::fresh_log_dir;
use e2e::process::{Authority, Memcached, Pair, PairOptions, TempDir};
use e2e::wait::wait_until;

use crate::program::Program;
use crate::sasl;

/// Who is let in. No blank in the password: the Rust crate takes it from a URL and does not decode that.
const USER: &str = "web";
const PASSWORD: &str = "long-password";

/// Whom the server lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Users {
    /// everybody
    All,
    /// who says a password by SASL, in the binary protocol: `memcached -S`
    Sasl,
    /// who says a password by a `set`, in the text protocol: `memcached -Y`
    Text,
}

/// What the server has to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stage {
    /// clients speak TLS
    tls: bool,
    /// and say who they are
    users: Users,
}

impl Stage {
    /// For this scenario: the words of its name say it.
    fn of(scenario: &str) -> Self {
        let has = |word| scenario.split('-').any(|part| part == word);
        let users = match (has("login"), has("text")) {
            (false, _) => Users::All,
            (true, false) => Users::Sasl,
            (true, true) => Users::Text,
        };
        Self { tls: has("tls"), users }
    }
}

/// What a server and a client need of each other: certificates of 127.0.0.1, users and passwords.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        Authority::new("clients")?.write_dir(directory.path(), "127.0.0.1")?;
        std::fs::write(directory.path().join("users"), format!("{USER}:{PASSWORD}\n"))?;
        Ok(Self { directory })
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// The environment of a client that believes these certificates and knows the password.
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CLIENT_CA", self.path("ca.crt")),
            ("CLIENT_USER", USER.to_owned()),
            ("CLIENT_PASSWORD", PASSWORD.to_owned()),
        ]
    }
}

fn port(address: &Address) -> Result<u16> {
    match address {
        Address::Tcp(address) => Ok(address.port()),
        Address::Unix(path) => bail!("{} is no port", path.display()),
    }
}

/// On memcached alone. Its LRU maintainer is off: `flush_all` passes over the items that it holds at that moment, about one in
/// 30,000 where a client writes as fast as it can, which the pair mends and the tests of a client do not expect.
pub(crate) fn plain(program: &Program, scenario: &str) -> Result<Vec<String>> {
    let Stage { tls, users } = Stage::of(scenario);
    let files = Files::new()?;
    let logs = fresh_log_dir(&format!("clients-plain-{scenario}"))?;
    let mut arguments = vec!["-o".to_owned(), "no_lru_maintainer".to_owned()];
    if tls {
        let certificate = format!("ssl_chain_cert={},ssl_key={}", files.path("tls.crt"), files.path("tls.key"));
        arguments.extend(["-Z".to_owned(), "-o".to_owned(), certificate]);
    }
    let executable = match users {
        Users::All => find(Suite::Forky)?,
        Users::Text => {
            arguments.extend(["-Y".to_owned(), files.path("users")]);
            find(Suite::Forky)?
        }
        Users::Sasl => {
            arguments.push("-S".to_owned());
            sasl::memcached(files.directory.path(), USER, PASSWORD)?
        }
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut memcached = Memcached::on_tcp(&executable, &arguments, &logs.join("memcached.log"))?;
    let port = port(memcached.address())?;
    program.run(scenario, port, &files.environment(), || memcached.start())
}

/// On one replica of a pair, and afterwards the other one has the same.
pub(crate) fn replica(program: &Program, scenario: &str) -> Result<Vec<String>> {
    let Stage { tls, users } = Stage::of(scenario);
    let files = Files::new()?;
    let mut options = PairOptions::new(&format!("clients-pair-{scenario}"), &find(Suite::Forky)?).quiet();
    if tls {
        options = options.sidecar(&["--client-tls-dir", &files.directory.path().display().to_string()]);
    }
    if users != Users::All {
        options = options.sidecar(&["--auth-file", &files.path("users")]);
    }
    let mut pair = Pair::start(&options)?;
    let port = port(&pair.a.sidecar.address())?;
    let mut environment = files.environment();
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
