//! Flags and environment as one typed [`Config`]. Nothing else in the program reads the environment.
//!
//! A value is checked here once, so that the rest of the program never meets a wrong one. What is wrong is said in one
//! line that names the flag ([`Stop::Invalid`], exit code 2).

mod address;
mod flags;
mod reference;
mod stop;
mod values;

pub use address::{HostPort, Listen, UNIX_PATH_MAX, Upstream};
pub use flags::{LogFormat, LogLevel};
pub use reference::markdown;
pub use stop::Stop;
pub use values::{
    BACKLOG, BUSY_POLL, CLOCK_OFFSET, DRAIN_DELAY, LISTENERS_MAX, MAX_CONNECTIONS, PAIR_ID_LEN, RESYNC_RATE,
    STATE_ENTRIES, THREADS, WARMUP_DEADLINE,
};

use clap::parser::ValueSource;
use clap::{Arg, CommandFactory, FromArgMatches};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::Verify;
use flags::Flags;

/// What the user wants, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Client listeners, 1 to [`LISTENERS_MAX`].
    pub listen: Vec<Listen>,
    /// The memcached behind.
    pub memcached: Upstream,
    /// Where the other sidecar connects.
    pub replication_listen: HostPort,
    /// The other sidecar; `None` waits to be dialled.
    pub peer: Option<HostPort>,
    /// Name of the pair, [`PAIR_ID_LEN`] bytes of printable ASCII without spaces.
    pub pair_id: String,
    /// 0 or 1.
    pub replica_id: u8,
    /// Directory of the state file.
    pub state_dir: Option<PathBuf>,
    /// Entries of its tables, [`STATE_ENTRIES`].
    pub state_entries: u32,
    /// How the two sidecars trust each other.
    pub replication_security: ReplicationSecurity,
    /// Where the operator connects; only with [`ReplicationSecurity::Tls`].
    pub control_listen: Option<HostPort>,
    /// `/metrics`, `/livez` and `/readyz`.
    pub admin_listen: HostPort,
    /// Workers, [`THREADS`].
    pub threads: usize,
    /// How long a worker looks for what comes next before it sleeps, [`BUSY_POLL`].
    pub busy_poll: Duration,
    /// Client connections, [`MAX_CONNECTIONS`].
    pub max_connections: usize,
    /// Bytes of the backlog, [`BACKLOG`].
    pub backlog: usize,
    /// How long to wait for a first sync; zero waits for nobody.
    pub warmup_deadline: Duration,
    /// How long clients are served after SIGTERM.
    pub drain_delay: Duration,
    /// Bytes per second of a resync; `None` is unlimited.
    pub resync_rate: Option<u64>,
    /// Users and passwords of clients.
    pub auth_file: Option<PathBuf>,
    /// Certificates for clients that come over TCP, and what is asked of those.
    pub client_tls: Option<(PathBuf, Verify)>,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: LogLevel,
    /// Seconds added to the wall clock that versions are made of (tests).
    pub clock_offset_seconds: i64,
}

/// How the two sidecars trust each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicationSecurity {
    /// Mutual TLS with the files of this directory.
    Tls(PathBuf),
    /// Plain TCP, asked for by a flag of its own.
    Insecure,
}

impl Config {
    /// Reads the command line and the environment of this process.
    ///
    /// # Errors
    /// What to print instead of running.
    pub fn from_process() -> Result<Self, Stop> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        Self::read(std::env::args_os().skip(1), |name| std::env::var_os(name))
    }

    /// Reads `args` (without the program's name), and for flags that are not among them the variables that `env` finds.
    ///
    /// # Errors
    /// What to print instead of running.
    pub fn read(
        args: impl IntoIterator<Item = OsString>,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Stop> {
        let args: Vec<OsString> = args.into_iter().collect();
        let name = || std::iter::once(OsString::from("memcached-sidecar"));
        let command = command();
        let given =
            command.clone().try_get_matches_from(name().chain(args.iter().cloned())).map_err(|e| stop::of_clap(&e))?;

        // variables become flags in front of the others, so that they pass the same checks
        let mut from_env = Vec::new();
        for arg in command.get_arguments() {
            let absent = given.value_source(arg.get_id().as_str()) != Some(ValueSource::CommandLine);
            let Some(variable) = variable(arg).filter(|_| absent) else {
                continue;
            };
            let Some(value) = env(&variable).filter(|v| !v.is_empty()) else {
                continue;
            };
            from_env.extend(as_argument(arg, &value).map_err(|wrong| Stop::Invalid(format!("{variable}: {wrong}")))?);
        }
        let all = name().chain(from_env.iter().cloned()).chain(args);
        let matches = command.try_get_matches_from(all).map_err(|e| stop::of_variable(stop::of_clap(&e), &from_env))?;
        let flags = Flags::from_arg_matches(&matches).map_err(|e| stop::of_clap(&e))?;
        Self::check(flags).map_err(Stop::Invalid)
    }

    fn check(flags: Flags) -> Result<Self, String> {
        if flags.client_tls_dir.is_none() && flags.client_tls_verify != Verify::Off {
            return Err("--client-tls-verify needs --client-tls-dir".to_owned());
        }
        let replication_security = match (flags.tls_dir, flags.insecure_replication) {
            (Some(dir), false) => ReplicationSecurity::Tls(dir),
            (None, true) => ReplicationSecurity::Insecure,
            (None, false) => {
                return Err("one of --tls-dir and --insecure-replication is required".to_owned());
            }
            (Some(_), true) => {
                return Err("--tls-dir and --insecure-replication exclude each other".to_owned());
            }
        };
        if flags.control_listen.is_some() && replication_security == ReplicationSecurity::Insecure {
            return Err("--control-listen needs --tls-dir: the operator shows a certificate".to_owned());
        }
        if flags.listen.is_empty() || flags.listen.len() > LISTENERS_MAX {
            return Err(format!("--listen must be given 1 to {LISTENERS_MAX} times"));
        }
        let memcached = flags.memcached.ok_or("--memcached is required")?;
        if let Upstream::Unix(path) = &memcached
            && flags.listen.contains(&Listen::Unix(path.clone()))
        {
            return Err("--listen and --memcached are the same unix socket".to_owned());
        }
        let count =
            |n: u64, flag: &str| usize::try_from(n).map_err(|_| format!("{flag} is too large for this machine"));
        Ok(Self {
            listen: flags.listen,
            memcached,
            replication_listen: flags.replication_listen,
            peer: flags.peer,
            pair_id: flags.pair_id.ok_or("--pair-id is required")?,
            replica_id: flags.replica_id.ok_or("--replica-id is required")?,
            state_dir: flags.state_dir,
            state_entries: u32::try_from(flags.state_entries).map_err(|_| "--state-entries is too large")?,
            replication_security,
            control_listen: flags.control_listen,
            admin_listen: flags.admin_listen,
            threads: count(flags.threads.unwrap_or_else(cores), "--threads")?,
            max_connections: count(flags.max_connections, "--max-connections")?,
            backlog: count(flags.backlog, "--backlog")?,
            warmup_deadline: Duration::from_secs(flags.warmup_deadline),
            drain_delay: Duration::from_secs(flags.drain_delay),
            busy_poll: Duration::from_micros(flags.busy_poll),
            resync_rate: flags.resync_rate.0,
            auth_file: flags.auth_file,
            client_tls: flags.client_tls_dir.map(|dir| (dir, flags.client_tls_verify)),
            log_format: flags.log_format,
            log_level: flags.log_level,
            clock_offset_seconds: flags.clock_offset_seconds,
        })
    }

    /// What is allowed but should be known: one line each, for the log at the start.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut lines = Vec::new();
        if self.state_dir.is_none() {
            lines.push("no --state-dir: a restart of this sidecar forgets deletes and flushes the peer does not know");
        }
        if self.replication_security == ReplicationSecurity::Insecure {
            lines.push("--insecure-replication: whoever reaches the replication port can read and change the cache");
        }
        lines
    }
}

/// Cores that this process may use, within the bounds of `--threads`.
fn cores() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    cores.clamp(*THREADS.start(), *THREADS.end())
}

/// The command line, with the default and the variable of each flag at the end of its help.
fn command() -> clap::Command {
    Flags::command().mut_args(|arg| match variable(&arg) {
        Some(variable) => {
            let (help, default) = reference::help_and_default(&arg);
            let default = default.map(|text| format!(" [default: {text}]")).unwrap_or_default();
            let takes_values = arg.get_action().takes_values();
            arg.help(format!("{help}{default} [env: {variable}]")).hide_default_value(takes_values)
        }
        None => arg,
    })
}

/// `--state-dir` is `RMC_STATE_DIR`.
fn variable(arg: &Arg) -> Option<String> {
    let long = arg.get_long().filter(|long| !matches!(*long, "help" | "version"))?;
    Some(format!("RMC_{}", long.replace('-', "_").to_ascii_uppercase()))
}

/// A variable's value as an argument; a switch that is off is none.
fn as_argument(arg: &Arg, value: &OsStr) -> Result<Option<OsString>, String> {
    let mut argument = OsString::from(format!("--{}", arg.get_long().unwrap_or_default()));
    if arg.get_action().takes_values() {
        argument.push("=");
        argument.push(value);
        return Ok(Some(argument));
    }
    match value.to_str().map(str::to_ascii_lowercase).as_deref() {
        Some("true" | "1" | "yes" | "on") => Ok(Some(argument)),
        Some("false" | "0" | "no" | "off") => Ok(None),
        _ => Err("write true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests;
