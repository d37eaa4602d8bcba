//! Lines of `lru_crawler metadump`.
//!
//! `key=<percent-encoded> exp=<unix seconds or -1> la=<unix seconds> cas=<n> fetch=yes|no
//! cls=<n> size=<bytes> flags=<n>` and a bare line feed; newer releases send `OK` first and leave
//! a blank behind the last field. The end is `END`, or an error line.

use thiserror::Error;

use super::limits::MAX_KEY;
use super::number::digits;
use super::request::Keys;
use super::response::signed;

/// Longest line in bytes without its line feed: a key of 250 encoded bytes and the fields.
pub const MAX_DUMP_LINE: usize = 2048;

/// One line of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpLine<'a> {
    /// An item.
    Item(DumpItem<'a>),
    /// `OK`: the dump starts. Not sent by all releases.
    Started,
    /// `END`: all items were listed.
    End,
    /// Another crawl is running, or the hash table is being expanded: try again.
    Retry {
        /// The line without its line end.
        line: &'a [u8],
    },
    /// Anything else that ends a dump: no such command, dumps or the crawler switched off.
    Refused {
        /// The line without its line end.
        line: &'a [u8],
    },
}

/// What a dump tells of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpItem<'a> {
    /// The key as it stands in the dump.
    pub key: EncodedKey<'a>,
    /// Unix time of expiry in seconds by memcached's clock; `None` for never.
    pub expires: Option<i64>,
    /// Unix time of the last access in seconds by memcached's clock.
    pub last_access: i64,
    /// CAS: the version.
    pub cas: u64,
    /// Bytes of the whole item.
    pub size: u64,
    /// Client flags.
    pub flags: u32,
}

/// A key in percent encoding, checked to decode to 1 to 250 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedKey<'a> {
    encoded: &'a [u8],
}

/// A line that no memcached sends.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DumpError {
    /// No line feed within [`MAX_DUMP_LINE`] bytes.
    #[error("a line of the dump is longer than {MAX_DUMP_LINE} bytes")]
    LineTooLong,
    /// An item without a readable key.
    #[error("a line of the dump has a key that cannot be read")]
    BadKey,
    /// A field is missing or not a number.
    #[error("a line of the dump lacks a readable {0}")]
    BadField(&'static str),
}

/// Reads the line at the start of `input`, with the bytes it takes. `None`: more bytes are needed.
///
/// # Errors
/// When the bytes are not a dump of memcached.
pub fn parse(input: &[u8]) -> Result<Option<(DumpLine<'_>, usize)>, DumpError> {
    let window = input.get(..=MAX_DUMP_LINE).unwrap_or(input);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if input.len() > MAX_DUMP_LINE { Err(DumpError::LineTooLong) } else { Ok(None) };
    };
    let line = input.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let parsed = match line {
        [b'k', b'e', b'y', b'=', words @ ..] => DumpLine::Item(item(words)?),
        b"OK" => DumpLine::Started,
        b"END" => DumpLine::End,
        _ if line.starts_with(b"BUSY") || line.starts_with(b"ERROR locked") => DumpLine::Retry { line },
        _ => DumpLine::Refused { line },
    };
    Ok(Some((parsed, end + 1)))
}

fn item(words: &[u8]) -> Result<DumpItem<'_>, DumpError> {
    let key_len = memchr::memchr(b' ', words).unwrap_or(words.len());
    let (key, fields) = words.split_at_checked(key_len).ok_or(DumpError::BadKey)?;
    let key = EncodedKey::new(key).ok_or(DumpError::BadKey)?;
    let mut expires = None;
    let mut last_access = None;
    let mut cas = None;
    let mut size = None;
    let mut flags = None;
    for field in Keys::new(fields) {
        match field {
            [b'e', b'x', b'p', b'=', value @ ..] => expires = signed(value),
            [b'l', b'a', b'=', value @ ..] => last_access = signed(value),
            [b'c', b'a', b's', b'=', value @ ..] => cas = unsigned(value),
            [b's', b'i', b'z', b'e', b'=', value @ ..] => size = unsigned(value),
            [b'f', b'l', b'a', b'g', b's', b'=', value @ ..] => flags = unsigned(value),
            // fetch, cls, and whatever a later release adds
            _ => {}
        }
    }
    let expires = expires.ok_or(DumpError::BadField("exp"))?;
    Ok(DumpItem {
        key,
        expires: (expires != -1).then_some(expires),
        last_access: last_access.ok_or(DumpError::BadField("la"))?,
        cas: cas.ok_or(DumpError::BadField("cas"))?,
        size: size.ok_or(DumpError::BadField("size"))?,
        flags: flags.and_then(|flags| u32::try_from(flags).ok()).ok_or(DumpError::BadField("flags"))?,
    })
}

fn unsigned(text: &[u8]) -> Option<u64> {
    if text.is_empty() { None } else { digits(text) }
}

impl<'a> EncodedKey<'a> {
    fn new(encoded: &'a [u8]) -> Option<Self> {
        let key = Self { encoded };
        let mut rest = encoded;
        let mut len = 0;
        while let Some((_, behind)) = next_byte(rest)? {
            rest = behind;
            len += 1;
        }
        (1..=MAX_KEY).contains(&len).then_some(key)
    }

    /// Appends the key itself. It may be one that no text command can name: see
    /// [`Limits::accepts_key`](super::Limits::accepts_key).
    pub fn decode_into(&self, out: &mut Vec<u8>) {
        let mut rest = self.encoded;
        // Checked when it was made: the encoding holds to its end.
        while let Some(Some((byte, behind))) = next_byte(rest) {
            out.push(byte);
            rest = behind;
        }
    }

    /// The key as it stands in the dump.
    #[must_use]
    pub fn as_encoded(&self) -> &'a [u8] {
        self.encoded
    }
}

/// The first byte of a percent-encoded text: `None` for a bad encoding, `Some(None)` at the end.
#[inline]
fn next_byte(encoded: &[u8]) -> Option<Option<(u8, &[u8])>> {
    match encoded {
        [] => Some(None),
        [b'%', high, low, rest @ ..] => {
            let high = (*high as char).to_digit(16)?;
            let low = (*low as char).to_digit(16)?;
            Some(Some(((high * 16 + low) as u8, rest)))
        }
        [b'%', ..] => None,
        [byte, rest @ ..] => Some(Some((*byte, rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_item(input: &[u8]) -> (DumpItem<'_>, Vec<u8>) {
        match parse(input) {
            Ok(Some((DumpLine::Item(item), used))) => {
                assert_eq!(used, input.len());
                let mut key = Vec::new();
                item.key.decode_into(&mut key);
                (item, key)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_of_each_release() {
        let old = b"key=%2541%2F%2Bx exp=-1 la=1795399844 cas=14 fetch=no cls=1 size=66 flags=0\n";
        let (item, key) = first_item(old);
        assert_eq!(key, b"%41/+x");
        assert_eq!(item.expires, None);
        assert_eq!((item.last_access, item.cas, item.size, item.flags), (1_795_399_844, 14, 66, 0));
        // A blank at the end, and fields of extstore.
        let new = b"key=a%01%FF exp=1795399948 la=1 cas=18446744073709551615 fetch=yes cls=1 \
            size=66 flags=4294967295 ext_page=1 ext_offset=2 \n";
        let (item, key) = first_item(new);
        assert_eq!(key, b"a\x01\xff");
        assert_eq!(item.expires, Some(1_795_399_948));
        assert_eq!((item.cas, item.flags), (u64::MAX, u32::MAX));
    }

    #[test]
    fn what_is_no_dump_is_an_error() {
        let fields = "exp=-1 la=1 cas=1 fetch=no cls=1 size=66 flags=0\n";
        for key in ["", "%", "%4", "%4g", &"k".repeat(251), &"%41".repeat(251)] {
            let line = format!("key={key} {fields}");
            assert_eq!(parse(line.as_bytes()), Err(DumpError::BadKey), "{key:?}");
        }
        let longest = format!("key={} {fields}", "%41".repeat(250));
        assert_eq!(first_item(longest.as_bytes()).1.len(), 250);
        for missing in ["exp=-1 ", "la=1 ", "cas=1 ", "size=66 ", "flags=0"] {
            let line = format!("key=k {}", fields.replace(missing, ""));
            assert!(matches!(parse(line.as_bytes()), Err(DumpError::BadField(_))), "{missing}");
        }
        assert_eq!(parse(&[b'k'; MAX_DUMP_LINE]), Ok(None));
        assert_eq!(parse(&[b'k'; MAX_DUMP_LINE + 1]), Err(DumpError::LineTooLong));
    }
}
