//! What memcached tells of itself. Without I/O.

use thiserror::Error;

use crate::protocol::{Dialect, Limits};

/// Sent on a connection of their own; the line of the dialect comes last. Meta commands have a mark for the end that
/// also tells memcached 1.6 from older ones.
pub const QUESTIONS: &[u8] = b"version\r\nstats\r\nstats settings\r\nget\r\nmn\r\n";
const END: &[u8] = b"\r\nMN\r\n";
/// The first release with everything that is used.
pub const OLDEST: (u32, u32, u32) = (1, 6, 27);
/// The greatest `-I`, in bytes: what the link carries in one frame and the buffers hold.
pub const ITEM_SIZE_MAX: u64 = 64 << 20;

/// What was learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// As it calls itself.
    pub version: String,
    /// Process.
    pub pid: u64,
    /// Its start by its own clock, in Unix seconds.
    pub started: u64,
    /// Its clock, in Unix seconds, rounded down.
    pub time: i64,
    /// Items held.
    pub items: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// For the parser.
    pub limits: Limits,
}

/// A memcached that cannot be worked with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FactsError {
    /// No `VERSION` came first.
    #[error("what answers there is no memcached that lets us in: {0:?}")]
    Stranger(String),
    /// Too old.
    #[error("memcached {0} is too old; 1.6.27 is the oldest that works, 1.6.38 and later are tested")]
    Old(String),
    /// A line of `stats` or `stats settings` is missing or unreadable.
    #[error("memcached does not tell its {0}")]
    Missing(&'static str),
    /// A setting that rules it out.
    #[error("memcached was started with {0}, which cannot be replicated")]
    Setting(&'static str),
    /// `-I` is too large.
    #[error("memcached's item size limit (-I) is {0} bytes; the greatest that can be replicated is {ITEM_SIZE_MAX}")]
    ItemSize(u64),
}

impl FactsError {
    /// Whether another try would find the same.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Missing(_))
    }
}

/// Whether the answer to [`QUESTIONS`] is all there, or shows that it will never be.
#[must_use]
pub fn is_complete(answer: &[u8]) -> bool {
    let refused = |text: &[u8]| answer.starts_with(text) && answer.contains(&b'\n');
    let no_meta = answer.ends_with(b"ERROR\r\nERROR\r\n");
    answer.ends_with(END) || no_meta || refused(b"CLIENT_ERROR") || refused(b"ERROR") || refused(b"SERVER_ERROR")
}

/// Reads the answer to [`QUESTIONS`].
///
/// # Errors
/// What rules this memcached out.
pub fn of(answer: &[u8]) -> Result<Facts, FactsError> {
    let text = String::from_utf8_lossy(answer);
    let version = text.strip_prefix("VERSION ").and_then(|rest| rest.lines().next());
    let Some(version) = version else {
        return Err(FactsError::Stranger(text.lines().next().unwrap_or_default().chars().take(80).collect()));
    };
    if parse_version(version).ok_or_else(|| FactsError::Stranger(version.to_owned()))? < OLDEST {
        return Err(FactsError::Old(version.to_owned()));
    }
    let word = |name: &'static str| stat(&text, name).ok_or(FactsError::Missing(name));
    let number = |name| word(name)?.parse::<u64>().map_err(|_| FactsError::Missing(name));
    for (name, wanted, flag) in [("cas_enabled", "yes", "-C (no CAS)"), ("dump_enabled", "yes", "-X (no metadump)")] {
        if word(name)? != wanted {
            return Err(FactsError::Setting(flag));
        }
    }
    if stat(&text, "memory_file").is_some_and(|file| file != "(null)") {
        return Err(FactsError::Setting("-e (restartable memory)"));
    }
    let item_size_max = number("item_size_max")?;
    if item_size_max > ITEM_SIZE_MAX {
        return Err(FactsError::ItemSize(item_size_max));
    }
    let probe = text.strip_suffix("\r\nMN\r\n").and_then(|rest| rest.lines().next_back());
    let dialect = probe.and_then(|line| Dialect::of_probe_reply(line.as_bytes()));
    let dialect = dialect.ok_or(FactsError::Missing("answer to an empty get"))?;
    let time = number("time")?;
    Ok(Facts {
        version: version.to_owned(),
        pid: number("pid")?,
        started: time.saturating_sub(number("uptime")?),
        time: i64::try_from(time).map_err(|_| FactsError::Missing("time"))?,
        items: number("curr_items")?,
        bytes: number("bytes")?,
        limits: Limits { item_size_max, dialect, flush_enabled: word("flush_enabled")? == "yes" },
    })
}

fn stat<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(name)?.strip_prefix(' '))
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(version: &str, changes: &[(&str, &str)]) -> Vec<u8> {
        let mut stats = vec![
            ("pid", "7"),
            ("uptime", "5"),
            ("time", "1795400900"),
            ("curr_items", "3"),
            ("bytes", "210"),
            ("cas_enabled", "yes"),
            ("dump_enabled", "yes"),
            ("flush_enabled", "no"),
            ("item_size_max", "1048576"),
            ("memory_file", "(null)"),
        ];
        for (name, value) in changes {
            stats.retain(|(other, _)| other != name);
            stats.push((name, value));
        }
        let stats: String = stats.iter().map(|(name, value)| format!("STAT {name} {value}\r\n")).collect();
        format!("VERSION {version}\r\n{stats}END\r\nEND\r\nERROR\r\nMN\r\n").into_bytes()
    }

    #[test]
    fn a_good_memcached_is_understood() {
        let bytes = answer("1.6.38", &[]);
        assert!(is_complete(&bytes) && !is_complete(&bytes[..bytes.len() - 1]));
        let limits = Limits { item_size_max: 1 << 20, dialect: Dialect::Legacy, flush_enabled: false };
        let (version, pid, started, time) = ("1.6.38".to_owned(), 7, 1_795_400_895, 1_795_400_900);
        assert_eq!(of(&bytes), Ok(Facts { version, pid, started, time, items: 3, bytes: 210, limits }));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (version, changes, word) in [
            ("1.6.26", &[][..], "too old"),
            ("1.5.99_beta", &[], "too old"),
            ("1.6.40", &[("cas_enabled", "no")], "-C"),
            ("1.6.40", &[("dump_enabled", "no")], "-X"),
            ("1.6.40", &[("memory_file", "/mnt/x")], "-e"),
            ("1.6.40", &[("item_size_max", "67108865")], "-I"),
            ("what", &[], "no memcached"),
        ] {
            let error = of(&answer(version, changes)).unwrap_err();
            assert!(error.is_final() && error.to_string().contains(word), "{error}");
        }
        for stranger in [&b"CLIENT_ERROR unauthenticated\r\n"[..], b"ERROR\r\n"] {
            assert!(is_complete(stranger));
            assert!(matches!(of(stranger), Err(FactsError::Stranger(_))));
        }
        assert!(!of(&answer("1.6.40", &[("pid", "x")])).unwrap_err().is_final());
    }
}
