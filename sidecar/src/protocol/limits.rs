//! Bounds of the protocol, and what differs between releases of memcached.

/// Longest key, in bytes.
pub const MAX_KEY: usize = 250;

/// Longest command line that is waited for, in bytes: more without a line feed closes the
/// connection, unless it is a multi-get. (memcached decides by what it has received, so a longer
/// line is executed when its end is already there, up to [`MAX_COMMAND_LINE`].)
pub const MAX_UNFINISHED_LINE: usize = 2048;

/// Longest command line in bytes but for `get` and `gets`: the read buffer of memcached.
pub const MAX_COMMAND_LINE: usize = 16 * 1024;

/// Longest `get` or `gets` line in bytes. memcached has no bound; above this one the connection is
/// closed.
pub const MAX_GET_LINE: usize = 1024 * 1024;

/// Largest announced value, in bytes: memcached counts in 32 bits, with the line end.
pub const MAX_ANNOUNCED_VALUE: u32 = i32::MAX as u32 - 2;

/// Bytes that memcached keeps with an item beside key, flags, value and CAS.
const ITEM_HEADER: u64 = 48;
/// The CAS of an item. (`memcached -C`, which leaves it out, cannot be replicated.)
const ITEM_CAS: u64 = 8;
/// Client flags other than 0.
const ITEM_FLAGS: u64 = 4;
/// The NUL behind a stored key.
const KEY_END: u64 = 1;
/// `\r\n`, stored with the value.
const VALUE_END: u64 = 2;

/// Which of memcached's two text parsers is imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// 1.6.38: NUL ends a line, leading blanks are skipped, most commands take an exact number of
    /// words, numbers are C's `strtol`.
    Legacy,
    /// 1.6.45: any byte may be in a line, item commands start at its first byte, more words than
    /// needed are ignored, most numbers are plain digits.
    Modern,
}

impl Dialect {
    /// A command that tells the dialects apart, whatever release that is, and changes nothing.
    pub const PROBE: &'static [u8] = b"get\r\n";

    /// The dialect by the line that answered [`Dialect::PROBE`] (without its line end).
    #[must_use]
    pub fn of_probe_reply(line: &[u8]) -> Option<Self> {
        match line {
            b"ERROR" => Some(Self::Legacy),
            b"CLIENT_ERROR bad command line format" => Some(Self::Modern),
            _ => None,
        }
    }
}

/// What the parser must know of the memcached behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `item_size_max` of `stats settings`, in bytes: the whole item, not the value.
    pub item_size_max: u64,
    /// The text parser that is imitated.
    pub dialect: Dialect,
    /// `flush_enabled` of `stats settings`.
    pub flush_enabled: bool,
}

impl Limits {
    /// Whether an item of this key, these flags and `value_len` bytes of value can be stored.
    #[must_use]
    #[inline]
    pub fn item_fits(&self, key_len: usize, flags: u32, value_len: u64) -> bool {
        item_size(key_len, flags, value_len) <= self.item_size_max
    }

    /// Whether a text command can name this key to the memcached behind.
    ///
    /// What clients ask passes this by itself. Keys from a peer or a dump need the check before
    /// they are sent anywhere: clients of the binary protocol and of meta commands with the flag
    /// `b` can store keys with any bytes, and a NUL that one release takes ends the line for
    /// another one, which then reads the value as commands.
    #[must_use]
    pub fn accepts_key(&self, key: &[u8]) -> bool {
        let forbidden = match self.dialect {
            Dialect::Legacy => memchr::memchr3(b' ', b'\n', 0, key),
            Dialect::Modern => memchr::memchr2(b' ', b'\n', key),
        };
        (1..=MAX_KEY).contains(&key.len()) && forbidden.is_none()
    }

    /// Bound of [`Step::Incomplete`](super::Step::Incomplete): no more than this many bytes are
    /// ever wanted in the input buffer of one client.
    #[must_use]
    pub fn max_input(&self) -> u64 {
        let store = self.item_size_max.saturating_add(MAX_COMMAND_LINE as u64);
        store.max(MAX_GET_LINE as u64 + 1)
    }
}

/// Bytes that memcached counts for an item, as in `stats items` and `size=` of a metadump.
///
/// An item can be stored when this is at most `item_size_max`; larger slab classes and chained
/// chunks change where it is put, not whether.
#[must_use]
#[inline]
pub fn item_size(key_len: usize, flags: u32, value_len: u64) -> u64 {
    let flags = if flags == 0 { 0 } else { ITEM_FLAGS };
    let fixed = ITEM_HEADER + ITEM_CAS + KEY_END + VALUE_END + flags;
    value_len.saturating_add(fixed + key_len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODERN: Limits = Limits { item_size_max: 1024, dialect: Dialect::Modern, flush_enabled: true };

    #[test]
    fn sizes_are_those_of_memcached() {
        // As `me` shows them.
        assert_eq!(item_size(5, 5, 3), 71);
        assert_eq!(item_size(3, u32::MAX, 0), 66);
        assert_eq!(item_size(11, 0, 2), 72);
        assert_eq!(item_size(250, 1, 2), 315);
        assert_eq!(item_size(250, 1, u64::MAX), u64::MAX);
    }

    #[test]
    fn an_item_of_the_bound_fits() {
        let fixed = item_size(1, 0, 0);
        assert!(MODERN.item_fits(1, 0, 1024 - fixed));
        assert!(!MODERN.item_fits(1, 0, 1024 - fixed + 1));
        assert!(!MODERN.item_fits(1, 1, 1024 - fixed));
        assert!(!MODERN.item_fits(2, 0, 1024 - fixed));
    }

    #[test]
    fn keys_that_can_be_named() {
        let legacy = Limits { dialect: Dialect::Legacy, ..MODERN };
        for limits in [MODERN, legacy] {
            for key in [b"k".as_slice(), b"\x01\r\t\xff\x80", &[b'k'; 250]] {
                assert!(limits.accepts_key(key));
            }
            for key in [b"".as_slice(), b"a b", b"\n", &[b'k'; 251]] {
                assert!(!limits.accepts_key(key));
            }
        }
        assert!(MODERN.accepts_key(b"a\0b"));
        assert!(!legacy.accepts_key(b"a\0b"));
    }
}
