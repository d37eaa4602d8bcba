//! What one replica tells the other about a write: the entries of the log, as they lie in it and travel.
//!
//! All integers are little-endian. A record begins with `kind: u8, key_len: u8`. Instants are milliseconds of the
//! sender's monotonic clock; each batch of records says what that clock showed when it was sent, so the receiver learns
//! remaining lives and no wall clock is involved.

use thiserror::Error;

use crate::clock::Version;

/// The longest key of memcached (`KEY_MAX_LENGTH` in its protocol), in bytes.
pub const MAX_KEY: usize = 250;
/// The longest value taken from a peer, in bytes: memcached's own upper bound for `-I`.
pub const MAX_VALUE: usize = 1 << 30;

/// memcached tells and takes whole seconds, and each side rounds.
const SLACK_MS: u64 = 2000;

/// When an item ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Expiry {
    /// It does not.
    #[default]
    Never,
    /// At this millisecond of the monotonic clock of whoever holds the value.
    At(u64),
}

impl Expiry {
    fn to_raw(self) -> u64 {
        match self {
            Expiry::Never => 0,
            Expiry::At(ms) => ms.max(1),
        }
    }
    fn from_raw(raw: u64) -> Self {
        match raw {
            0 => Expiry::Never,
            ms => Expiry::At(ms),
        }
    }
    /// The same instant on another monotonic clock: `from` there is `to` here.
    pub fn shifted(self, from: u64, to: u64) -> Self {
        match self {
            Expiry::Never => Expiry::Never,
            Expiry::At(ms) => Expiry::At((to as i64).saturating_add(ms.wrapping_sub(from) as i64).max(1) as u64),
        }
    }
    /// Whether it is over at `now_ms`.
    pub fn is_past(self, now_ms: u64) -> bool {
        matches!(self, Expiry::At(ms) if ms <= now_ms)
    }
    /// Its number in the state file.
    pub fn stored(self) -> u64 {
        self.to_raw()
    }
    /// From its number in the state file.
    pub fn from_stored(raw: u64) -> Self {
        Self::from_raw(raw)
    }
    /// The end of what has so many whole seconds left.
    pub fn after_seconds(seconds: i64, now_ms: u64) -> Self {
        Expiry::At((now_ms as i64).saturating_add(seconds.saturating_mul(1000)).max(1) as u64)
    }
    /// Whether it ends later than `other`, by more than whole seconds can tell apart.
    pub fn is_clearly_later_than(self, other: Expiry) -> bool {
        match other {
            Expiry::Never => false,
            Expiry::At(ms) => self.is_later_than(Expiry::At(ms.saturating_add(SLACK_MS))),
        }
    }
    /// Whether it ends later than `other`.
    pub fn is_later_than(self, other: Expiry) -> bool {
        match (self, other) {
            (Expiry::Never, Expiry::At(_)) => true,
            (Expiry::At(a), Expiry::At(b)) => a > b,
            (_, Expiry::Never) => false,
        }
    }
}

/// What memcached knows of an item beside its value, its flags and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Marks(u8);

impl Marks {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// The item is stale: readers are told, and one of them gets the win token.
    pub const STALE: Self = Self(1);
    /// The win token is given away.
    pub const WON: Self = Self(2);
    /// The key came in base64.
    pub const BINARY: Self = Self(4);
    const ALL: u8 = 7;

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// These but not those.
    #[must_use]
    pub const fn but_not(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// Whether all of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// How a resync fills the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResyncKind {
    /// The log goes on where it was cut.
    Partial,
    /// What is newer than the watermark, and the table.
    Incremental,
    /// Everything.
    Full,
}

impl ResyncKind {
    /// Its name in logs, metrics and `stats replication`.
    pub fn name(self) -> &'static str {
        match self {
            ResyncKind::Partial => "partial",
            ResyncKind::Incremental => "incremental",
            ResyncKind::Full => "full",
        }
    }
}

/// A place in the stream with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Every write that the sender made up to this version is before this place.
    Watermark(Version),
    /// A resync begins, for the content of the receiver that has this incarnation.
    ResyncStart(ResyncKind, u64),
    /// The resync is complete.
    ResyncEnd(ResyncKind),
    /// The sender's memcached has lost its content; its new incarnation.
    ContentLost(u64),
    /// The sender has forgotten deletes up to this version: it wants to be told of every item below.
    DigestWanted(Version),
    /// All items up to this version have been told.
    DigestEnd(Version),
}

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// The item is this.
    Set {
        /// 1 to 250 bytes.
        key: &'a [u8],
        /// Its version.
        version: Version,
        /// The client's opaque flags.
        flags: u32,
        /// Its end.
        expiry: Expiry,
        /// From a resync rather than from a client.
        bulk: bool,
        /// What else is to be known of it.
        marks: Marks,
        /// The exact bytes.
        value: &'a [u8],
    },
    /// The item is gone.
    Delete {
        /// The key.
        key: &'a [u8],
        /// Nothing of this version or older remains.
        version: Version,
    },
    /// The end of the item of that version has changed.
    Touch {
        /// The key.
        key: &'a [u8],
        /// Which item.
        item: Version,
        /// The version of the touch itself.
        version: Version,
        /// Its new end.
        expiry: Expiry,
    },
    /// The win token of the item of that version is given away.
    Won {
        /// The key.
        key: &'a [u8],
        /// Which item.
        item: Version,
    },
    /// Nothing of this version or older remains.
    Flush {
        /// The flush.
        version: Version,
    },
    /// A flush that falls due later; replaces an earlier one of the kind.
    FlushAt {
        /// The version of the command.
        version: Version,
        /// Due; [`Expiry::Never`] takes the deadline back.
        due: Expiry,
    },
    /// The sender holds an item of this version (no value: the receiver only checks).
    Have {
        /// The key.
        key: &'a [u8],
        /// The version.
        version: Version,
        /// Its end, in whole seconds.
        expiry: Expiry,
    },
    /// A place in the stream.
    Mark(Mark),
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// They end within the record.
    #[error("record is cut short")]
    Short,
    /// Unknown first byte.
    #[error("unknown kind of record {0}")]
    Kind(u8),
    /// A key of no bytes or of more than [`MAX_KEY`], or a key where none belongs.
    #[error("bad key length {0}")]
    Key(u8),
    /// A version from 2^63 on.
    #[error("version out of range")]
    Version,
    /// A value longer than [`MAX_VALUE`].
    #[error("value of {0} bytes is too long")]
    Value(u32),
    /// Unknown marks of an item.
    #[error("unknown marks {0}")]
    Marks(u8),
    /// Unknown kind of resync.
    #[error("unknown kind of resync {0}")]
    Resync(u8),
}

mod kind {
    pub(super) const SET: u8 = 1;
    pub(super) const BULK: u8 = 2;
    pub(super) const DELETE: u8 = 3;
    pub(super) const TOUCH: u8 = 4;
    pub(super) const FLUSH: u8 = 5;
    pub(super) const FLUSH_AT: u8 = 6;
    pub(super) const HAVE: u8 = 7;
    pub(super) const SET_MARKED: u8 = 8;
    pub(super) const BULK_MARKED: u8 = 9;
    pub(super) const WON: u8 = 10;
    pub(super) const WATERMARK: u8 = 16;
    pub(super) const RESYNC_START: u8 = 17;
    pub(super) const RESYNC_END: u8 = 18;
    pub(super) const CONTENT_LOST: u8 = 19;
    pub(super) const DIGEST_WANTED: u8 = 20;
    pub(super) const DIGEST_END: u8 = 21;
}

const RESYNC_KINDS: [ResyncKind; 3] = [ResyncKind::Partial, ResyncKind::Incremental, ResyncKind::Full];

impl<'a> Record<'a> {
    /// Appends the record to `out`. Keys longer than 250 bytes do not occur: memcached has none.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Record::Set { key, version, flags, expiry, bulk, marks, value } => {
                let kind = match (bulk, marks) {
                    (false, Marks::NONE) => kind::SET,
                    (true, Marks::NONE) => kind::BULK,
                    (false, _) => kind::SET_MARKED,
                    (true, _) => kind::BULK_MARKED,
                };
                head(out, kind, key);
                if marks != Marks::NONE {
                    out.push(marks.0);
                }
                out.extend_from_slice(&flags.to_le_bytes());
                numbers(out, [version.raw(), expiry.to_raw()]);
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }
            Record::Delete { key, version } => keyed(out, kind::DELETE, key, [version.raw()]),
            Record::Have { key, version, expiry } => keyed(out, kind::HAVE, key, [version.raw(), expiry.to_raw()]),
            Record::Touch { key, item, version, expiry } => {
                keyed(out, kind::TOUCH, key, [item.raw(), version.raw(), expiry.to_raw()]);
            }
            Record::Won { key, item } => keyed(out, kind::WON, key, [item.raw()]),
            Record::Flush { version } => keyed(out, kind::FLUSH, b"", [version.raw()]),
            Record::FlushAt { version, due } => keyed(out, kind::FLUSH_AT, b"", [version.raw(), due.to_raw()]),
            Record::Mark(mark) => match mark {
                Mark::Watermark(version) => keyed(out, kind::WATERMARK, b"", [version.raw()]),
                Mark::ResyncStart(resync, incarnation) => {
                    keyed(out, kind::RESYNC_START, b"", [resync as u64, incarnation]);
                }
                Mark::ResyncEnd(resync) => keyed(out, kind::RESYNC_END, b"", [resync as u64]),
                Mark::ContentLost(incarnation) => keyed(out, kind::CONTENT_LOST, b"", [incarnation]),
                Mark::DigestWanted(version) => keyed(out, kind::DIGEST_WANTED, b"", [version.raw()]),
                Mark::DigestEnd(version) => keyed(out, kind::DIGEST_END, b"", [version.raw()]),
            },
        }
    }

    /// The record at the start of `bytes` and its length.
    pub fn decode(bytes: &'a [u8]) -> Result<(Record<'a>, usize), RecordError> {
        let mut at = Reader { bytes, position: 0 };
        let [kind, key_len] = *at.take(2)? else { return Err(RecordError::Short) };
        let keyed = matches!(kind, kind::SET..=kind::TOUCH | kind::HAVE..=kind::WON);
        let key_len_ok = if keyed { (1..=MAX_KEY).contains(&usize::from(key_len)) } else { key_len == 0 };
        if !key_len_ok {
            return Err(RecordError::Key(key_len));
        }
        let key_len = usize::from(key_len);
        let record = match kind {
            kind::SET | kind::BULK | kind::SET_MARKED | kind::BULK_MARKED => {
                let marks = match kind {
                    kind::SET | kind::BULK => Marks::NONE,
                    _ => at.marks()?,
                };
                let flags = at.u32()?;
                let (version, expiry) = (at.version()?, Expiry::from_raw(at.u64()?));
                let len = at.u32()?;
                if len as usize > MAX_VALUE {
                    return Err(RecordError::Value(len));
                }
                let (key, value) = (at.take(key_len)?, at.take(len as usize)?);
                let bulk = matches!(kind, kind::BULK | kind::BULK_MARKED);
                Record::Set { key, version, flags, expiry, bulk, marks, value }
            }
            kind::DELETE => {
                let version = at.version()?;
                Record::Delete { version, key: at.take(key_len)? }
            }
            kind::HAVE => {
                let (version, expiry) = (at.version()?, Expiry::from_raw(at.u64()?));
                Record::Have { version, expiry, key: at.take(key_len)? }
            }
            kind::WON => {
                let item = at.version()?;
                Record::Won { item, key: at.take(key_len)? }
            }
            kind::TOUCH => {
                let (item, version, expiry) = (at.version()?, at.version()?, Expiry::from_raw(at.u64()?));
                Record::Touch { item, version, expiry, key: at.take(key_len)? }
            }
            kind::FLUSH => Record::Flush { version: at.version()? },
            kind::FLUSH_AT => Record::FlushAt { version: at.version()?, due: Expiry::from_raw(at.u64()?) },
            kind::WATERMARK => Record::Mark(Mark::Watermark(at.version()?)),
            kind::RESYNC_START => Record::Mark(Mark::ResyncStart(at.resync()?, at.u64()?)),
            kind::RESYNC_END => Record::Mark(Mark::ResyncEnd(at.resync()?)),
            kind::CONTENT_LOST => Record::Mark(Mark::ContentLost(at.u64()?)),
            kind::DIGEST_WANTED => Record::Mark(Mark::DigestWanted(at.version()?)),
            kind::DIGEST_END => Record::Mark(Mark::DigestEnd(at.version()?)),
            other => return Err(RecordError::Kind(other)),
        };
        Ok((record, at.position))
    }

    /// Its key, where it is about one.
    pub fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Record::Set { key, .. }
            | Record::Delete { key, .. }
            | Record::Touch { key, .. }
            | Record::Won { key, .. }
            | Record::Have { key, .. } => Some(key),
            Record::Flush { .. } | Record::FlushAt { .. } | Record::Mark(_) => None,
        }
    }
}

fn head(out: &mut Vec<u8>, kind: u8, key: &[u8]) {
    debug_assert!(key.len() <= MAX_KEY);
    out.extend_from_slice(&[kind, key.len() as u8]);
}

fn numbers<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn keyed<const N: usize>(out: &mut Vec<u8>, kind: u8, key: &[u8], fields: [u64; N]) {
    head(out, kind, key);
    numbers(out, fields);
    out.extend_from_slice(key);
}

/// Reads fixed-size fields off a byte slice.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..len).ok_or(RecordError::Short)?;
        self.position += len;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.take(N)?.try_into().map_err(|_| RecordError::Short)
    }
    pub(super) fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(u8::from_le_bytes(self.array()?))
    }
    pub(super) fn u16(&mut self) -> Result<u16, RecordError> {
        Ok(u16::from_le_bytes(self.array()?))
    }
    pub(super) fn u32(&mut self) -> Result<u32, RecordError> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    pub(super) fn u64(&mut self) -> Result<u64, RecordError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    pub(super) fn version(&mut self) -> Result<Version, RecordError> {
        Version::from_raw(self.u64()?).ok_or(RecordError::Version)
    }
    fn marks(&mut self) -> Result<Marks, RecordError> {
        let marks = self.u8()?;
        if marks > Marks::ALL { Err(RecordError::Marks(marks)) } else { Ok(Marks(marks)) }
    }
    fn resync(&mut self) -> Result<ResyncKind, RecordError> {
        let number = self.u64()?;
        let kind = usize::try_from(number).ok().and_then(|n| RESYNC_KINDS.get(n));
        kind.copied().ok_or(RecordError::Resync(number.min(255) as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version() -> impl Strategy<Value = Version> {
        (0..=Version::MAX.raw()).prop_map(Version::of_item)
    }
    fn expiry() -> impl Strategy<Value = Expiry> {
        any::<u64>().prop_map(Expiry::from_raw)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            marks in (0..=Marks::ALL).prop_map(Marks),
            key in prop::collection::vec(any::<u8>(), 1..=MAX_KEY),
            value in prop::collection::vec(any::<u8>(), 0..300),
            (item, version, expiry, flags, bulk, kind, n) in
                (version(), version(), expiry(), any::<u32>(), any::<bool>(), 0..13u8, any::<u64>()),
        ) {
            let record = match kind {
                0 => Record::Set { key: &key, version, flags, expiry, bulk, marks, value: &value },
                1 => Record::Delete { key: &key, version },
                2 => Record::Touch { key: &key, item, version, expiry },
                3 => Record::Flush { version },
                4 => Record::FlushAt { version, due: expiry },
                5 => Record::Have { key: &key, version, expiry },
                6 => Record::Mark(Mark::Watermark(version)),
                7 => Record::Mark(Mark::ResyncStart(ResyncKind::Full, n)),
                8 => Record::Mark(Mark::ResyncEnd(ResyncKind::Incremental)),
                9 => Record::Mark(Mark::ContentLost(n)),
                10 => Record::Mark(Mark::DigestWanted(version)),
                11 => Record::Mark(Mark::DigestEnd(version)),
                _ => Record::Won { key: &key, item },
            };
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            for cut in 0..bytes.len() {
                prop_assert!(Record::decode(&bytes[..cut]).is_err());
            }
            let len = bytes.len();
            bytes.extend_from_slice(b"next");
            prop_assert_eq!(Record::decode(&bytes), Ok((record, len)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Record::decode(&bytes);
        }
    }
}
