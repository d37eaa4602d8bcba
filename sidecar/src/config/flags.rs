//! The command line as clap reads it. The doc comments are the texts of `--help` and of docs/flags.md.

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser, ValueEnum};
use std::path::PathBuf;

use super::address::{HostPort, Listen, Upstream, dialled};
use super::values::{self, Rate};
use crate::tls::Verify;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// The least severe lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Stands between the clients and one memcached, and replicates every write to the sidecar of the other one.
///
/// Each flag can be given as an environment variable, too; the command line wins, and an empty variable is as none.
/// Sizes accept k, m and g for powers of 1024. Port 0 means any free port, and the log says which.
#[allow(rustdoc::broken_intra_doc_links, reason = "the text is for a terminal; [::] is an address")]
#[derive(Debug, Parser)]
#[command(name = "memcached-sidecar", version, disable_help_subcommand = true)]
#[command(override_usage = "memcached-sidecar --memcached ADDR --pair-id NAME --replica-id 0|1\n       \
    (--tls-dir DIR | --insecure-replication) [OPTIONS]")]
pub(super) struct Flags {
    /// Where clients connect: host:port, [::]:port or unix:/path (mode 0777, like memcached -a 0777). Repeatable, 1 to
    /// 16 times; comma-separated in the environment
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:11211", value_delimiter = ',')]
    pub(super) listen: Vec<Listen>,

    /// The memcached behind: unix:/path or host:port. Nothing else may write to it. Required
    #[arg(long, value_name = "ADDR")]
    pub(super) memcached: Option<Upstream>,

    /// Where the other sidecar connects
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:11212")]
    pub(super) replication_listen: HostPort,

    /// The other sidecar. A name is resolved again at each try, and every address is tried. Default: none (this sidecar
    /// waits to be dialled)
    #[arg(long, value_name = "HOST:PORT", value_parser = dialled)]
    pub(super) peer: Option<HostPort>,

    /// The name of the pair, the same on both sides: 1 to 128 characters, each a letter, digit, dot, dash,
    /// underscore or colon. Required
    #[arg(long, value_name = "NAME", value_parser = values::pair_id)]
    pub(super) pair_id: Option<String>,

    /// Which of the two this one is: 0 or 1, different on both sides. Required
    #[arg(long, value_name = "0|1", value_parser = values::replica_id)]
    pub(super) replica_id: Option<u8>,

    /// Directory of the state file: deletes and flushes that the other side may not know yet. Default: none (a restart
    /// of the sidecar forgets them)
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,

    /// Entries in the tables of the state file, 1024 to 67108864
    #[arg(long, value_name = "N", default_value = "262144", value_parser = values::state_entries)]
    pub(super) state_entries: u64,

    /// Directory with ca.crt, tls.crt and tls.key (PEM) for mutual TLS between the sidecars, read again when they change.
    /// Every certificate signed by ca.crt is accepted; host names are not checked. Required,
    /// or --insecure-replication
    #[arg(long, value_name = "DIR")]
    pub(super) tls_dir: Option<PathBuf>,

    /// Replicate over plain TCP: whoever reaches the replication port can read and change the cache. Default: off
    #[arg(long, value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) insecure_replication: bool,

    /// Where the operator connects: HTTP over mutual TLS with the files of --tls-dir; its certificate must have the DNS name
    /// operator.replicated-memcached.io. Default: off
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) control_listen: Option<HostPort>,

    /// Plain HTTP with /metrics, /livez and /readyz
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:8080")]
    pub(super) admin_listen: HostPort,

    /// Worker threads, 1 to 23. Default: as many as there are cores
    #[arg(long, value_name = "N", value_parser = values::threads)]
    pub(super) threads: Option<u64>,

    /// Microseconds that a worker looks for the next request or answer before it sleeps, 0 to 1000. Shortens the time of a
    /// request where cores are idle, and takes up to a core for each worker while requests come; 0 sleeps at once
    #[arg(long, value_name = "MICROSECONDS", default_value = "0", value_parser = values::busy_poll)]
    pub(super) busy_poll: u64,

    /// Client connections, 1 to 1000000; one more is answered "ERROR Too many open connections" and closed
    #[arg(long, value_name = "N", default_value = "16384", value_parser = values::max_connections)]
    pub(super) max_connections: u64,

    /// Bytes of writes kept for a peer that is slow or away, 1m to 64g; beyond it the values are dropped, and fetched
    /// again from memcached when the peer is back
    #[arg(long, value_name = "BYTES", default_value = "64m", value_parser = values::backlog)]
    pub(super) backlog: u64,

    /// Seconds to wait for a first sync before clients are served from what is there, 0 to 86400; 0 waits for nobody
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::warmup_deadline)]
    pub(super) warmup_deadline: u64,

    /// Seconds that clients are still served after SIGTERM, 0 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = values::drain_delay)]
    pub(super) drain_delay: u64,

    /// Most bytes per second that a resync sends to the peer, 64k to 1024g, or unlimited
    #[arg(long, value_name = "BYTES_PER_S", default_value = "unlimited", value_parser = values::resync_rate)]
    pub(super) resync_rate: Rate,

    /// Users and passwords of clients in the format of memcached -Y, a line user:password for each, read again when it
    /// changes. Clients of the text protocol begin with memcached's set "user password", those of the binary protocol with
    /// SASL PLAIN. Default: none (nobody is asked)
    #[arg(long, value_name = "FILE")]
    pub(super) auth_file: Option<PathBuf>,

    /// Directory with tls.crt and tls.key (PEM): clients that come over TCP then speak TLS 1.2 or 1.3, read again when they
    /// change; unix sockets stay plain. Default: none (plain TCP)
    #[arg(long, value_name = "DIR")]
    pub(super) client_tls_dir: Option<PathBuf>,

    /// What is asked of clients that speak TLS: off (no certificate), request (one that is shown must be signed by ca.crt in
    /// --client-tls-dir) or require (every client must show one)
    #[arg(long, value_name = "MODE", default_value = "off", value_enum, hide_possible_values = true)]
    pub(super) client_tls_verify: Verify,

    /// How the log on standard error is written: human or json
    #[arg(long, value_name = "FORMAT", default_value = "human", value_enum, hide_possible_values = true)]
    pub(super) log_format: LogFormat,

    /// What is logged: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", value_enum, hide_possible_values = true)]
    pub(super) log_level: LogLevel,

    /// Seconds added to the wall clock that versions are made of, for tests of clocks that disagree
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = values::clock_offset, hide = true)]
    #[arg(allow_negative_numbers = true)]
    pub(super) clock_offset_seconds: i64,
}
