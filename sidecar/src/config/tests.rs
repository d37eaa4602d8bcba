use super::*;
use std::collections::HashMap;
use std::process::ExitCode;

/// What every start needs, without the transport.
const NEEDED: [&str; 6] = ["--memcached", "unix:/run/m.sock", "--pair-id", "p", "--replica-id", "1"];

fn read_with(args: &[&str], env: &[(&str, &str)]) -> Result<Config, Stop> {
    let env: HashMap<_, _> = env.iter().copied().collect();
    Config::read(args.iter().map(OsString::from), |name| env.get(name).map(OsString::from))
}

/// `args` beside what every start needs.
fn read(args: &[&str]) -> Result<Config, Stop> {
    let mut all = NEEDED.to_vec();
    all.push("--insecure-replication");
    all.extend(args);
    read_with(&all, &[])
}

fn invalid(result: Result<Config, Stop>) -> String {
    match result {
        Err(Stop::Invalid(line)) => line,
        other => panic!("not refused: {other:?}"),
    }
}

fn help() -> String {
    match read_with(&["--help"], &[]) {
        Err(Stop::Text(text)) => text,
        other => panic!("no help: {other:?}"),
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = read(&[]).unwrap();
    assert_eq!(config.listen, [Listen::Tcp("0.0.0.0:11211".parse().unwrap())]);
    assert_eq!(config.memcached, Upstream::Unix("/run/m.sock".into()));
    assert_eq!(config.replication_listen.to_string(), "0.0.0.0:11212");
    assert_eq!(config.peer, None);
    assert_eq!((config.pair_id.as_str(), config.replica_id), ("p", 1));
    assert_eq!(config.state_dir, None);
    assert_eq!(config.state_entries, 262_144);
    assert_eq!(config.replication_security, ReplicationSecurity::Insecure);
    assert_eq!(config.admin_listen.to_string(), "0.0.0.0:8080");
    assert!(config.threads >= 1);
    assert_eq!(config.max_connections, 16_384);
    assert_eq!(config.backlog, 64 << 20);
    assert_eq!(config.warmup_deadline, Duration::from_secs(60));
    assert_eq!(config.drain_delay, Duration::from_secs(5));
    assert_eq!(config.resync_rate, None);
    assert_eq!(config.log_format, LogFormat::Human);
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.clock_offset_seconds, 0);
    assert_eq!(config.warnings().len(), 2);
}

#[test]
fn every_flag_sets_its_field() {
    let config = read(&[
        "--listen=127.0.0.1:1",
        "--listen=[::1]:2",
        "--listen=unix:/c.sock",
        "--replication-listen=[::]:3",
        "--peer=b.example:4",
        "--state-dir=/state",
        "--state-entries=2048",
        "--admin-listen=127.0.0.1:0",
        "--threads=3",
        "--max-connections=7",
        "--backlog=2m",
        "--warmup-deadline=0",
        "--drain-delay=9",
        "--resync-rate=1g",
        "--log-format=json",
        "--log-level=trace",
        "--clock-offset-seconds",
        "-3600",
    ])
    .unwrap();
    let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:1", "[::1]:2", "unix:/c.sock"]);
    assert_eq!(config.replication_listen.to_string(), "[::]:3");
    assert_eq!(config.peer.unwrap().to_string(), "b.example:4");
    assert_eq!(config.state_dir, Some("/state".into()));
    assert_eq!(config.state_entries, 2048);
    assert_eq!(config.admin_listen.port, 0);
    assert_eq!((config.threads, config.max_connections, config.backlog), (3, 7, 2 << 20));
    assert_eq!((config.warmup_deadline, config.drain_delay), (Duration::ZERO, Duration::from_secs(9)));
    assert_eq!(config.resync_rate, Some(1 << 30));
    assert_eq!((config.log_format, config.log_level), (LogFormat::Json, LogLevel::Trace));
    assert_eq!(config.clock_offset_seconds, -3600);

    let tls = read_with(&[&NEEDED[..], &["--tls-dir=/tls", "--state-dir=/s"]].concat(), &[]).unwrap();
    assert_eq!(tls.replication_security, ReplicationSecurity::Tls("/tls".into()));
    assert!(tls.warnings().is_empty());
}

#[test]
fn every_flag_is_a_variable_too() {
    let from_env = read_with(
        &[],
        &[
            ("RMC_LISTEN", "127.0.0.1:1,unix:/c.sock"),
            ("RMC_MEMCACHED", "127.0.0.1:5"),
            ("RMC_REPLICATION_LISTEN", "[::]:3"),
            ("RMC_PEER", "b:4"),
            ("RMC_PAIR_ID", "pair"),
            ("RMC_REPLICA_ID", "0"),
            ("RMC_STATE_DIR", "/state"),
            ("RMC_STATE_ENTRIES", "2048"),
            ("RMC_TLS_DIR", "/tls"),
            ("RMC_INSECURE_REPLICATION", "false"),
            ("RMC_ADMIN_LISTEN", "[::]:6"),
            ("RMC_THREADS", "3"),
            ("RMC_BUSY_POLL", "50"),
            ("RMC_MAX_CONNECTIONS", "7"),
            ("RMC_BACKLOG", "2M"),
            ("RMC_WARMUP_DEADLINE", "0"),
            ("RMC_DRAIN_DELAY", "9"),
            ("RMC_RESYNC_RATE", "64k"),
            ("RMC_AUTH_FILE", "/users"),
            ("RMC_CLIENT_TLS_DIR", "/clients"),
            ("RMC_CLIENT_TLS_VERIFY", "request"),
            ("RMC_LOG_FORMAT", "json"),
            ("RMC_LOG_LEVEL", "warn"),
            ("RMC_CLOCK_OFFSET_SECONDS", "-5"),
        ],
    );
    let from_flags = read_with(
        &[
            "--listen=127.0.0.1:1,unix:/c.sock",
            "--memcached=127.0.0.1:5",
            "--replication-listen=[::]:3",
            "--peer=b:4",
            "--pair-id=pair",
            "--replica-id=0",
            "--state-dir=/state",
            "--state-entries=2048",
            "--tls-dir=/tls",
            "--admin-listen=[::]:6",
            "--threads=3",
            "--busy-poll=50",
            "--max-connections=7",
            "--backlog=2m",
            "--warmup-deadline=0",
            "--drain-delay=9",
            "--resync-rate=65536",
            "--auth-file=/users",
            "--client-tls-dir=/clients",
            "--client-tls-verify=request",
            "--log-format=json",
            "--log-level=warn",
            "--clock-offset-seconds=-5",
        ],
        &[],
    );
    assert_eq!(from_env, from_flags);
    from_env.unwrap();
    // the list above is complete: a new flag must be added to it
    assert_eq!(command().get_arguments().filter(|arg| variable(arg).is_some()).count(), 25);
}

#[test]
fn the_command_line_wins_and_empty_variables_are_none() {
    let all = [&NEEDED[..], &["--insecure-replication", "--threads=2", "--listen=127.0.0.1:1"]].concat();
    let env = [("RMC_THREADS", "5"), ("RMC_LISTEN", "127.0.0.1:9"), ("RMC_PEER", ""), ("RMC_DRAIN_DELAY", "")];
    let config = read_with(&all, &env).unwrap();
    assert_eq!(config.threads, 2);
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.peer, None);
    assert_eq!(config.drain_delay, Duration::from_secs(5));
}

#[test]
fn bounds_hold_and_are_in_the_help() {
    // flag, least, greatest, refused, words of the help
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str, &[&str], &str)] = &[
        ("--state-entries", "1024", "67108864", &["1023", "67108865", "1k", "x"], "1024 to 67108864"),
        ("--threads", "1", "23", &["0", "24", "-1", "1.5"], "1 to 23"),
        ("--busy-poll", "0", "1000", &["1001", "-1", "50us"], "0 to 1000"),
        ("--max-connections", "1", "1000000", &["0", "1000001"], "1 to 1000000"),
        ("--backlog", "1m", "64g", &["1023k", "65g", "m", "0"], "1m to 64g"),
        ("--warmup-deadline", "0", "86400", &["86401", "-1", "1s"], "0 to 86400"),
        ("--drain-delay", "0", "3600", &["3601", "5s"], "0 to 3600"),
        ("--resync-rate", "64k", "1024g", &["63k", "1025g", "0"], "64k to 1024g, or unlimited"),
        ("--resync-rate", "unlimited", "unlimited", &["none"], "or unlimited"),
        ("--clock-offset-seconds", "-3155760000", "3155760000", &["3155760001", "x"], ""),
        ("--log-format", "human", "json", &["xml", "JSON"], "human or json"),
        ("--log-level", "off", "trace", &["verbose"], "off, error, warn, info, debug or trace"),
        ("--listen", "a:0", "a:65535", &["a", "a:65536", "unix:", ":1"], "1 to 16 times"),
        ("--replication-listen", "a:0", "a:65535", &["a", "unix:/x"], ""),
        ("--admin-listen", "a:0", "a:65535", &["a", "unix:/x"], ""),
        ("--peer", "a:1", "a:65535", &["a:0", "a", "unix:/x"], ""),
    ];
    let help = help().split_whitespace().collect::<Vec<_>>().join(" ");
    for (flag, least, greatest, refused, words) in rows {
        for value in [least, greatest] {
            read(&[&format!("{flag}={value}")]).unwrap_or_else(|e| panic!("{flag}={value}: {e}"));
        }
        for value in *refused {
            let line = invalid(read(&[&format!("{flag}={value}")]));
            assert!(line.contains(flag) && line.contains(value), "{line}");
            assert!(!line.contains('\n'), "{line}");

            let variable = format!("RMC_{}", flag[2..].replace('-', "_").to_uppercase());
            let args = [&NEEDED[..], &["--insecure-replication"]].concat();
            let line = invalid(read_with(&args, &[(&variable, value)]));
            assert!(line.contains(flag) && line.contains(&variable) && !line.contains('\n'), "{line}");
        }
        assert!(help.contains(words), "{flag}: {words}");
    }
    for id in ["0", "1"] {
        let args = ["--memcached=a:1", "--pair-id=p", "--insecure-replication", "--replica-id", id];
        assert_eq!(read_with(&args, &[]).unwrap().replica_id.to_string(), id);
    }
    let args = ["--memcached=a:1", "--pair-id=p", "--insecure-replication", "--replica-id=2"];
    assert!(invalid(read_with(&args, &[])).contains("--replica-id"));
}

#[test]
fn every_flag_has_its_variable_and_default_in_the_help() {
    for arg in command().get_arguments() {
        let Some(variable) = variable(arg) else {
            continue;
        };
        let help = arg.get_help().unwrap().to_string();
        assert!(help.ends_with(&format!("[env: {variable}]")), "{help}");
        assert!(help.contains("[default: ") || help.contains("Required"), "{help}");
    }
    let help = help();
    let words: Vec<_> = help.split_whitespace().collect();
    assert!(words.join(" ").contains("[default: 64m] [env: RMC_BACKLOG]"));
    assert!(!help.contains("--clock-offset-seconds"));
}

#[test]
fn what_is_missing_is_named() {
    for (without, flag) in [(0, "--memcached"), (2, "--pair-id"), (4, "--replica-id")] {
        let mut args = NEEDED.to_vec();
        args.drain(without..without + 2);
        args.push("--insecure-replication");
        assert_eq!(invalid(read_with(&args, &[])), format!("{flag} is required"));
    }
    let line = invalid(read_with(&NEEDED, &[]));
    assert_eq!(line, "one of --tls-dir and --insecure-replication is required");
}

#[test]
fn combinations_that_cannot_be() {
    assert!(invalid(read(&["--tls-dir=/t"])).contains("exclude each other"));
    assert!(invalid(read(&["--listen=unix:/run/m.sock"])).contains("same unix socket"));
    let many = vec!["--listen=a:1"; LISTENERS_MAX + 1];
    assert_eq!(invalid(read(&many)), "--listen must be given 1 to 16 times");
    read(&many[1..]).unwrap();
    assert_eq!(invalid(read(&["--client-tls-verify", "require"])), "--client-tls-verify needs --client-tls-dir");
}

#[test]
fn errors_are_one_line() {
    for (args, words) in [
        (&["--thread=1"][..], "tip: a similar argument exists: '--threads'"),
        (&["--threads"], "a value is required for '--threads <N>'"),
        (&["--threads=1", "--threads=2"], "'--threads <N>' cannot be used multiple times"),
        (&["extra"], "unexpected argument 'extra'"),
        (&["--pair-id=a\nb"], "--pair-id"),
        (&["--insecure-replication=yes"], "--insecure-replication"),
    ] {
        let line = invalid(read(args));
        assert!(line.contains(words), "{line}");
        assert!(!line.contains('\n') && !line.starts_with("error"), "{line}");
    }
    let args = [&NEEDED[..], &["--tls-dir=/t"]].concat();
    let line = invalid(read_with(&args, &[("RMC_INSECURE_REPLICATION", "maybe")]));
    assert_eq!(line, "RMC_INSECURE_REPLICATION: write true or false");
}

#[test]
fn help_and_version_are_texts() {
    assert!(help().contains("Usage: memcached-sidecar"));
    assert_eq!(
        read_with(&["--version"], &[]),
        Err(Stop::Text(format!("memcached-sidecar {}\n", env!("CARGO_PKG_VERSION"))))
    );
    assert_eq!(Stop::Text(String::new()).report(), ExitCode::SUCCESS);
}

#[test]
fn the_reference_has_every_flag() {
    let text = markdown();
    assert_eq!(text.lines().filter(|line| line.starts_with("| `--")).count(), 24);
    assert!(text.contains("| `--backlog BYTES` | `RMC_BACKLOG` | 64m |"), "{text}");
    assert!(text.contains("| `--threads N` | `RMC_THREADS` | as many as there are cores | Worker threads"), "{text}");
}
