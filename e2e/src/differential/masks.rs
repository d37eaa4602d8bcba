//! What cannot be the same on both sides, each with its reason. Nothing else may differ.
//!
//! Cas numbers are versions of ours: compared as a pattern (equal or different), see `compare.rs`.
//! Close or reset: which one a client sees depends on timing on either side, see `Client`.
//! The order of the lines of a metadump is that of hash chains and lists that the time of a touch changes.

/// How much of a line `STAT name value` is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// all of it
    Whole,
    /// the value may differ
    Name,
    /// it need not be there at all
    Nothing,
}

struct Mask {
    /// a `*` at one end stands for anything; `N` stands for a number
    names: &'static [&'static str],
    compared: Compared,
    /// for the reader
    _reason: &'static str,
}

const STATS: &[Mask] = &[
    Mask {
        names: &["pid", "uptime", "time", "rusage_user", "rusage_system"],
        compared: Compared::Name,
        _reason: "two processes, started one after the other",
    },
    Mask {
        names: &[
            "curr_connections",
            "total_connections",
            "rejected_connections",
            "connection_structures",
            "response_obj_*",
            "read_buf_*",
            "conn_yields",
            "reserved_fds",
        ],
        compared: Compared::Name,
        _reason: "memcached's connections are those of the sidecar, shared by all clients",
    },
    Mask {
        names: &["N:addr", "N:listen_addr", "N:state", "N:secs_since_last_cmd"],
        compared: Compared::Nothing,
        _reason: "stats conns lists memcached's connections: those of the sidecar",
    },
    Mask {
        names: &["bytes", "curr_items", "expired_unfetched", "reclaimed", "N:expired_unfetched", "N:reclaimed"],
        compared: Compared::Name,
        _reason: "items that have ended or were flushed go when somebody comes across them: a sweep of ours, or a read",
    },
    Mask {
        names: &["tcpport", "udpport", "domain_socket", "inter", "umask", "access"],
        compared: Compared::Name,
        _reason: "stats settings: the memcached behind listens on a unix socket",
    },
    Mask {
        names: &["bytes_read", "bytes_written"],
        compared: Compared::Name,
        _reason: "requests go upstream in their meta form, and the sidecar asks for things itself",
    },
    Mask {
        names: &[
            "cmd_*",
            "get_*",
            "set_*",
            "touch_*",
            "delete_*",
            "incr_*",
            "decr_*",
            "cas_*",
            "store_*",
            "N:cmd_*",
            "N:get_*",
            "N:set_*",
            "N:touch_*",
            "N:delete_*",
            "N:incr_*",
            "N:decr_*",
            "N:cas_*",
            "N:hits_to_*",
            "total_items",
        ],
        compared: Compared::Name,
        _reason: "counts of commands: of the translated ones, and of the sidecar's own",
    },
    Mask {
        names: &[
            "lru_crawler_*",
            "crawler_*",
            "lru_maintainer_juggles",
            "lrutail_reflocked",
            "N:lru_*",
            "N:crawler_*",
            "N:number_*",
            "N:age*",
            "N:moves_*",
            "moves_*",
            "log_*",
            "time_since_*",
            "last_*",
        ],
        compared: Compared::Name,
        _reason: "what threads in the background have come to",
    },
];

/// Fields of a line of metadump that may differ: seconds since memcached's start, and whether anybody read the item
/// (the sidecar does, after an incr).
const DUMP_FIELDS: &[&[u8]] = &[b"exp", b"la", b"fetch"];

/// How the value of a statistic is compared.
pub fn stat(name: &[u8]) -> Compared {
    let name = String::from_utf8_lossy(name);
    // items:1:age -> N:age, 1:get_hits -> N:get_hits, 26:addr -> N:addr
    let short = name.strip_prefix("items:").unwrap_or(&name);
    let general = match short.split_once(':') {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("N:{rest}")
        }
        _ => short.to_owned(),
    };
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => general.starts_with(start),
        None => general == pattern,
    };
    let mask = STATS.iter().find(|mask| mask.names.iter().any(|pattern| matches(pattern)));
    mask.map_or(Compared::Whole, |mask| mask.compared)
}

/// Whether a field of a line of metadump may differ. An item without expiry must not have one on the other side.
pub fn dump_field(name: &[u8], value: &[u8]) -> bool {
    DUMP_FIELDS.contains(&name) && value != b"-1"
}
