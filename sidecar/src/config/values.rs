//! Numbers, sizes and names with their bounds. The bounds are part of the public contract: `--help` prints them.

use std::ops::RangeInclusive;

use crate::dataplane::stripes::MAX_PARTIES;

/// 1024.
const KIB: u64 = 1 << 10;
/// 1024 KiB.
const MIB: u64 = 1 << 20;
/// 1024 MiB.
const GIB: u64 = 1 << 30;

/// Client listeners.
pub const LISTENERS_MAX: usize = 16;
/// `--state-entries`.
pub const STATE_ENTRIES: RangeInclusive<u64> = 1024..=67_108_864;
/// `--threads`: the stripes know this many parties, one of which is the replicator.
pub const THREADS: RangeInclusive<u64> = 1..=MAX_PARTIES as u64 - 1;
/// `--max-connections`.
pub const MAX_CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;
/// `--backlog`, bytes.
pub const BACKLOG: RangeInclusive<u64> = MIB..=64 * GIB;
/// `--warmup-deadline`, seconds.
pub const WARMUP_DEADLINE: RangeInclusive<u64> = 0..=86_400;
/// `--drain-delay`, seconds.
pub const DRAIN_DELAY: RangeInclusive<u64> = 0..=3600;
/// `--busy-poll`, microseconds.
pub const BUSY_POLL: RangeInclusive<u64> = 0..=1000;
/// `--resync-rate`, bytes per second.
pub const RESYNC_RATE: RangeInclusive<u64> = 64 * KIB..=1024 * GIB;
/// `--clock-offset-seconds`: a hundred years either way.
pub const CLOCK_OFFSET: RangeInclusive<i64> = -3_155_760_000..=3_155_760_000;
/// `--pair-id`, bytes.
pub const PAIR_ID_LEN: RangeInclusive<usize> = 1..=128;

/// A whole number within `bounds`.
pub(super) fn number(text: &str, bounds: &RangeInclusive<u64>) -> Result<u64, String> {
    let wrong = || format!("write a whole number from {} to {}", bounds.start(), bounds.end());
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    text.parse().ok().filter(|n| bounds.contains(n)).ok_or_else(wrong)
}

/// A number of bytes within `bounds`, with the suffix k, m or g for powers of 1024, in either case.
pub(super) fn size(text: &str, bounds: &RangeInclusive<u64>) -> Result<u64, String> {
    let wrong = || {
        let (low, high) = (size_text(*bounds.start()), size_text(*bounds.end()));
        format!("write a number of bytes from {low} to {high}, with k, m or g for powers of 1024")
    };
    let unit = match text.bytes().last() {
        Some(b'k' | b'K') => KIB,
        Some(b'm' | b'M') => MIB,
        Some(b'g' | b'G') => GIB,
        _ => 1,
    };
    let digits = if unit == 1 { text } else { text.get(..text.len() - 1).unwrap_or_default() };
    let count = number(digits, &(0..=u64::MAX)).map_err(|_| wrong())?;
    count.checked_mul(unit).filter(|n| bounds.contains(n)).ok_or_else(wrong)
}

/// The shortest way to write a size exactly: `64m`.
pub(super) fn size_text(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        b if b % GIB == 0 => format!("{}g", b / GIB),
        b if b % MIB == 0 => format!("{}m", b / MIB),
        b if b % KIB == 0 => format!("{}k", b / KIB),
        b => b.to_string(),
    }
}

pub(super) fn state_entries(text: &str) -> Result<u64, String> {
    number(text, &STATE_ENTRIES)
}

pub(super) fn threads(text: &str) -> Result<u64, String> {
    number(text, &THREADS)
}

pub(super) fn busy_poll(text: &str) -> Result<u64, String> {
    number(text, &BUSY_POLL)
}

pub(super) fn max_connections(text: &str) -> Result<u64, String> {
    number(text, &MAX_CONNECTIONS)
}

pub(super) fn backlog(text: &str) -> Result<u64, String> {
    size(text, &BACKLOG)
}

pub(super) fn warmup_deadline(text: &str) -> Result<u64, String> {
    number(text, &WARMUP_DEADLINE)
}

pub(super) fn drain_delay(text: &str) -> Result<u64, String> {
    number(text, &DRAIN_DELAY)
}

/// `None` is `unlimited`. A type of its own, since clap gives `Option` another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate(pub(super) Option<u64>);

pub(super) fn resync_rate(text: &str) -> Result<Rate, String> {
    if text == "unlimited" {
        return Ok(Rate(None));
    }
    size(text, &RESYNC_RATE).map(|rate| Rate(Some(rate))).map_err(|wrong| format!("{wrong}, or unlimited"))
}

pub(super) fn clock_offset(text: &str) -> Result<i64, String> {
    let wrong = || format!("write a whole number from {} to {}", CLOCK_OFFSET.start(), CLOCK_OFFSET.end());
    text.parse().ok().filter(|n| CLOCK_OFFSET.contains(n)).ok_or_else(wrong)
}

pub(super) fn replica_id(text: &str) -> Result<u8, String> {
    match text {
        "0" => Ok(0),
        "1" => Ok(1),
        _ => Err("write 0 or 1; the two sidecars of a pair have different ones".to_owned()),
    }
}

pub(super) fn pair_id(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if !PAIR_ID_LEN.contains(&text.len()) || !text.bytes().all(allowed) {
        let (low, high) = (PAIR_ID_LEN.start(), PAIR_ID_LEN.end());
        return Err(format!("write {low} to {high} letters, digits or . - _ :"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let any = 0..=u64::MAX;
        for (text, bytes) in [("0", 0), ("1", 1), ("3k", 3 * KIB), ("64M", 64 * MIB), ("2g", 2 * GIB)] {
            assert_eq!(size(text, &any), Ok(bytes), "{text}");
        }
        for text in ["", "k", "-1", "+1", "1.5m", "1kb", "1 m", "0x10", "99999999999g", "18446744073709551616", "1µ"] {
            assert!(size(text, &any).is_err(), "{text}");
        }
        for bytes in [0, 1, 1023, KIB, 1536, 64 * MIB, GIB + KIB] {
            assert_eq!(size(&size_text(bytes), &any), Ok(bytes));
        }
    }

    #[test]
    fn names() {
        assert!(pair_id("6f1c1f3e-0b1a-4c58-9d57-3f5c3a0b7a11").is_ok());
        assert!(pair_id(&"a".repeat(128)).is_ok());
        for text in ["", "two words", "a\n", "ä", &"a".repeat(129)] {
            assert!(pair_id(text).is_err(), "{text}");
        }
    }
}
