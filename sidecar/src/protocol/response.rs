//! What memcached answered.

use thiserror::Error;

use super::number::digits;

/// Longest first line of an answer, in bytes without its line feed.
pub const MAX_RESPONSE_LINE: usize = 2048;
/// Largest value that is believed, in bytes: memcached's own bound of `item_size_max`.
pub const MAX_RESPONSE_VALUE: u64 = 1024 * 1024 * 1024;

/// One answer, borrowed from the input buffer of the upstream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// `VALUE <key> <flags> <len> [<cas>]` and the value.
    Value(Value<'a>),
    /// `END`.
    End,
    /// An answer of the meta protocol.
    Meta(Meta<'a>),
    /// `ERROR...`, `CLIENT_ERROR ...`, `SERVER_ERROR ...`.
    Error {
        /// The line without its line end.
        line: &'a [u8],
    },
    /// Any other line, without its line end: `OK`, `RESET`, `VERSION ...`, `STAT ...`, a number.
    Line(&'a [u8]),
}

/// A hit of a classic retrieval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// CAS, if it was asked for.
    pub cas: Option<u64>,
    /// The value without its line end.
    pub data: &'a [u8],
    /// All bytes of the answer, line ends included.
    pub raw: &'a [u8],
    /// Bytes of `raw` before the value: the first line with its line end.
    pub header_len: usize,
}

/// First word of a meta answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaCode {
    /// `HD`: done, or a hit without a value.
    Header,
    /// `VA`: a value follows.
    Value,
    /// `EN`: a miss of `mg` or `me`.
    Miss,
    /// `NF`: no such item.
    NotFound,
    /// `NS`: not stored.
    NotStored,
    /// `EX`: the CAS differs.
    Exists,
    /// `MN`: the answer of `mn`.
    NoOp,
    /// `ME`: item details.
    Debug,
}

/// An answer of the meta protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    /// What happened.
    pub code: MetaCode,
    /// What was asked to be returned.
    pub flags: MetaFlags<'a>,
    /// The value of `VA`, without its line end.
    pub value: Option<&'a [u8]>,
}

/// The words behind the code (and behind the size of `VA`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MetaFlags<'a> {
    words: &'a [u8],
}

/// Bytes that no memcached sends: the connection is of no more use.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ResponseError {
    /// No line feed within [`MAX_RESPONSE_LINE`] bytes.
    #[error("a line of the answer is longer than {MAX_RESPONSE_LINE} bytes")]
    LineTooLong,
    /// A `VALUE` or `VA` line without what belongs there.
    #[error("a value of the answer has a header that cannot be read")]
    BadHeader,
    /// Behind the announced bytes of a value there is no line end.
    #[error("a value of the answer does not end where it should")]
    BadValueEnd,
}

const BARE_HEADER: Response<'static> =
    Response::Meta(Meta { code: MetaCode::Header, flags: MetaFlags { words: b"" }, value: None });

/// Reads the answer at the start of `input`, with the bytes it takes. `None`: more bytes are
/// needed.
///
/// # Errors
/// When the bytes are not an answer of memcached.
#[inline]
pub fn parse(input: &[u8]) -> Result<Option<(Response<'_>, usize)>, ResponseError> {
    match input {
        [b'H', b'D', b'\r', b'\n', ..] => return Ok(Some((BARE_HEADER, 4))),
        [b'E', b'N', b'D', b'\r', b'\n', ..] => return Ok(Some((Response::End, 5))),
        _ => {}
    }
    let window = input.get(..=MAX_RESPONSE_LINE).unwrap_or(input);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if input.len() > MAX_RESPONSE_LINE { Err(ResponseError::LineTooLong) } else { Ok(None) };
    };
    let Some((line, [_, behind @ ..])) = input.split_at_checked(end) else {
        return Ok(None);
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let header_len = end + 1;
    let response = match line {
        [b'V', b'A', b'L', b'U', b'E', b' ', words @ ..] => {
            return classic_value(words, input, behind, header_len);
        }
        [b'V', b'A', b' ', words @ ..] => return meta_value(words, behind, header_len),
        b"END" => Response::End,
        [a, b] => meta_or_line(*a, *b, &[], line),
        [a, b, b' ', words @ ..] => meta_or_line(*a, *b, words, line),
        _ if is_error(line) => Response::Error { line },
        _ => Response::Line(line),
    };
    Ok(Some((response, header_len)))
}

#[inline]
fn meta_or_line<'a>(a: u8, b: u8, words: &'a [u8], line: &'a [u8]) -> Response<'a> {
    let code = match (a, b) {
        (b'H', b'D') => MetaCode::Header,
        (b'E', b'N') => MetaCode::Miss,
        (b'N', b'F') => MetaCode::NotFound,
        (b'N', b'S') => MetaCode::NotStored,
        (b'E', b'X') => MetaCode::Exists,
        (b'M', b'N') => MetaCode::NoOp,
        (b'M', b'E') => MetaCode::Debug,
        _ => return Response::Line(line),
    };
    Response::Meta(Meta { code, flags: MetaFlags { words }, value: None })
}

fn is_error(line: &[u8]) -> bool {
    line.starts_with(b"ERROR") || line.starts_with(b"CLIENT_ERROR") || line.starts_with(b"SERVER_ERROR")
}

/// What stands at the end of a value.
enum Tail<'a> {
    Complete(&'a [u8]),
    Incomplete,
}

fn take_value(behind: &[u8], len: u64) -> Result<Tail<'_>, ResponseError> {
    if len > MAX_RESPONSE_VALUE {
        return Err(ResponseError::BadHeader);
    }
    let Some((data, behind)) = behind.split_at_checked(len as usize) else { return Ok(Tail::Incomplete) };
    Ok(value_end(behind)?.map_or(Tail::Incomplete, |_| Tail::Complete(data)))
}

/// The words of a `VALUE` line.
struct ClassicHeader<'a> {
    key: &'a [u8],
    flags: u32,
    len: u64,
    cas: Option<u64>,
}

impl<'a> ClassicHeader<'a> {
    fn parse(words: &'a [u8]) -> Result<Self, ResponseError> {
        let (key, behind) = split_blank(words).ok_or(ResponseError::BadHeader)?;
        let (flags, behind) = split_blank(behind).ok_or(ResponseError::BadHeader)?;
        let (len, cas) = split_blank(behind).map_or((behind, None), |(len, cas)| (len, Some(cas)));
        let flags = u32::try_from(number(Some(flags))?).map_err(|_| ResponseError::BadHeader)?;
        let (len, cas) = (number(Some(len))?, cas.map(|word| number(Some(word))).transpose()?);
        if len > MAX_RESPONSE_VALUE {
            return Err(ResponseError::BadHeader);
        }
        Ok(Self { key, flags, len, cas })
    }
}

/// What is before the first blank, and what is behind it.
#[inline]
fn split_blank(words: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = words.iter().position(|byte| *byte == b' ')?;
    let (word, behind) = words.split_at_checked(at)?;
    Some((word, behind.get(1..)?))
}

/// The bytes of a whole answer to `get`, as it stands at the start of `input`: hits, then `END`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Of all, `END` included.
    pub len: usize,
    /// Of the largest hit; 0 where there is none.
    pub largest: usize,
}

/// Finds such an answer. `None`: it is not complete, or no such answer.
///
/// # Errors
/// When the bytes are not an answer of memcached.
pub fn hits(input: &[u8]) -> Result<Option<Hits>, ResponseError> {
    let mut found = Hits::default();
    loop {
        let rest = input.get(found.len..).unwrap_or_default();
        if rest.starts_with(b"END\r\n") {
            found.len += 5;
            return Ok(Some(found));
        }
        let Some(opening) = opening(rest)? else { return Ok(None) };
        let header = opening.header.len();
        let Some(behind) = rest.get(header + opening.len..) else { return Ok(None) };
        let Some(end) = value_end(behind)? else { return Ok(None) };
        let len = header + opening.len + end;
        found.largest = found.largest.max(len);
        found.len += len;
    }
}

fn classic_value<'a>(
    words: &'a [u8],
    input: &'a [u8],
    behind: &'a [u8],
    header_len: usize,
) -> Result<Option<(Response<'a>, usize)>, ResponseError> {
    let ClassicHeader { key, flags, len, cas } = ClassicHeader::parse(words)?;
    let Tail::Complete(data) = take_value(behind, len)? else {
        return Ok(None);
    };
    let total = header_len + data.len() + 2;
    let value = Value { key, flags, cas, data, raw: input.get(..total).unwrap_or(input), header_len };
    Ok(Some((Response::Value(value), total)))
}

/// The first line of a hit whose value is still coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The line with its line end.
    pub header: &'a [u8],
    /// The key.
    pub key: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// CAS, if it was asked for.
    pub cas: Option<u64>,
    /// Bytes of the value, without its line end.
    pub len: usize,
}

/// Reads such a line where [`parse`] needs more bytes. `None`: it is something else, or incomplete itself.
///
/// # Errors
/// When the bytes are not an answer of memcached.
pub fn opening(input: &[u8]) -> Result<Option<Opening<'_>>, ResponseError> {
    let Some(words) = input.strip_prefix(b"VALUE ") else { return Ok(None) };
    let window = words.get(..MAX_RESPONSE_LINE).unwrap_or(words);
    let Some(end) = memchr::memchr(b'\n', window) else { return Ok(None) };
    let line = words.get(..end).unwrap_or_default();
    let ClassicHeader { key, flags, len, cas } = ClassicHeader::parse(line.strip_suffix(b"\r").unwrap_or(line))?;
    let header = input.get(..b"VALUE ".len() + end + 1).unwrap_or(input);
    Ok(Some(Opening { header, key, flags, cas, len: len as usize }))
}

/// The same for the answer of an `mg`: its first line, as one without a value, the bytes of that, and those of the value.
///
/// # Errors
/// When the bytes are not an answer of memcached.
pub fn meta_opening(input: &[u8]) -> Result<Option<(Meta<'_>, usize, usize)>, ResponseError> {
    let Some(words) = input.strip_prefix(b"VA ") else { return Ok(None) };
    let window = words.get(..MAX_RESPONSE_LINE).unwrap_or(words);
    let Some(end) = memchr::memchr(b'\n', window) else { return Ok(None) };
    let line = words.get(..end).unwrap_or_default();
    let (len, words) = super::words::split_word(line.strip_suffix(b"\r").unwrap_or(line));
    let len = number(Some(len))?;
    if len > MAX_RESPONSE_VALUE {
        return Err(ResponseError::BadHeader);
    }
    let meta = Meta { code: MetaCode::Value, flags: MetaFlags { words }, value: None };
    Ok(Some((meta, b"VA ".len() + end + 1, len as usize)))
}

/// Whether a value ends here: `None` where that cannot be seen yet.
///
/// # Errors
/// There is something else.
pub fn value_end(input: &[u8]) -> Result<Option<usize>, ResponseError> {
    match input {
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [] | [b'\r'] => Ok(None),
        _ => Err(ResponseError::BadValueEnd),
    }
}

fn meta_value<'a>(
    words: &'a [u8],
    behind: &'a [u8],
    header_len: usize,
) -> Result<Option<(Response<'a>, usize)>, ResponseError> {
    let (len, words) = super::words::split_word(words);
    let len = number(Some(len))?;
    let Tail::Complete(data) = take_value(behind, len)? else {
        return Ok(None);
    };
    let meta = Meta { code: MetaCode::Value, flags: MetaFlags { words }, value: Some(data) };
    Ok(Some((Response::Meta(meta), header_len + data.len() + 2)))
}

fn number(word: Option<&[u8]>) -> Result<u64, ResponseError> {
    word.filter(|word| !word.is_empty()).and_then(digits).ok_or(ResponseError::BadHeader)
}

impl<'a> MetaFlags<'a> {
    /// The words, each one a flag and its argument.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        super::request::Keys::new(self.words).filter_map(|word| word.split_first().map(|(flag, rest)| (*flag, rest)))
    }

    /// The argument of a flag, empty if it has none.
    #[must_use]
    #[inline]
    pub fn get(&self, flag: u8) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == flag).map(|(_, rest)| rest)
    }

    /// Whether the flag is there: `W`, `X`, `Z`...
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.get(flag).is_some()
    }

    /// `c`: the CAS, which is the version.
    #[must_use]
    #[inline]
    pub fn cas(&self) -> Option<u64> {
        self.get(b'c').filter(|text| !text.is_empty()).and_then(digits)
    }

    /// `f`: client flags.
    #[must_use]
    pub fn client_flags(&self) -> Option<u32> {
        self.get(b'f').filter(|text| !text.is_empty()).and_then(digits).and_then(|flags| u32::try_from(flags).ok())
    }

    /// `t`: remaining life in seconds, -1 for ever.
    #[must_use]
    pub fn ttl(&self) -> Option<i64> {
        signed(self.get(b't')?)
    }

    /// `s`: bytes of value.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.get(b's').filter(|text| !text.is_empty()).and_then(digits)
    }

    /// All words as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.words
    }
}

/// What the words behind a hit say of its item, all read in one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `c`: the CAS, which is the version.
    pub cas: Option<u64>,
    /// `f`: client flags.
    pub client_flags: Option<u32>,
    /// `t`: remaining life in seconds, -1 for ever.
    pub ttl: Option<i64>,
    /// `b`: the key is a binary one.
    pub binary: bool,
    /// `W`: the win token was given with this answer.
    pub won: bool,
    /// `X`: the item is stale.
    pub stale: bool,
    /// `Z`: the win token was given before.
    pub sent: bool,
}

impl MetaFlags<'_> {
    /// Reads what belongs to an item.
    #[must_use]
    pub fn said(&self) -> Said {
        let mut said = Said::default();
        for (flag, text) in self.iter() {
            match flag {
                b'c' => said.cas = number(Some(text)).ok(),
                b'f' => said.client_flags = number(Some(text)).ok().and_then(|flags| u32::try_from(flags).ok()),
                b't' => said.ttl = signed(text),
                b'b' => said.binary = true,
                b'W' => said.won = true,
                b'X' => said.stale = true,
                b'Z' => said.sent = true,
                _ => {}
            }
        }
        said
    }
}

impl<'a> Meta<'a> {
    /// The key of an `ME` answer.
    #[must_use]
    pub fn debug_key(&self) -> Option<&'a [u8]> {
        (self.code == MetaCode::Debug).then(|| super::words::split_word(self.flags.words).0)
    }

    /// A `name=value` of an `ME` answer: `exp` (seconds left, -1 for ever), `la`, `cas`, `fetch`,
    /// `cls`, `size`.
    #[must_use]
    pub fn debug_field(&self, name: &[u8]) -> Option<&'a [u8]> {
        if self.code != MetaCode::Debug {
            return None;
        }
        // The key stands first and may look like a field.
        super::request::Keys::new(self.flags.words).skip(1).find_map(|word| word.strip_prefix(name)?.strip_prefix(b"="))
    }

    /// The version and the remaining seconds (-1 for ever) of the answer to an [`inspect`](super::encode::inspect).
    #[must_use]
    pub fn inspected(&self) -> Option<(u64, i64)> {
        match self.code {
            MetaCode::Debug => self.debug_cas().map(|cas| (cas, self.debug_exp().unwrap_or(-1))),
            MetaCode::Header => self.flags.cas().map(|cas| (cas, self.flags.ttl().unwrap_or(-1))),
            _ => None,
        }
    }

    /// `cas=` of an `ME` answer: the version.
    #[must_use]
    pub fn debug_cas(&self) -> Option<u64> {
        self.debug_field(b"cas").filter(|text| !text.is_empty()).and_then(digits)
    }

    /// `exp=` of an `ME` answer: seconds left, -1 for ever.
    #[must_use]
    pub fn debug_exp(&self) -> Option<i64> {
        signed(self.debug_field(b"exp")?)
    }
}

/// A decimal number with an optional minus.
pub(super) fn signed(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if text.is_empty() {
        return None;
    }
    let magnitude = digits(text)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(input: &[u8]) -> Response<'_> {
        let (response, used) = parse(input).expect("an answer").expect("a whole one");
        assert_eq!(used, input.len(), "{}", input.escape_ascii());
        for cut in 0..input.len() {
            assert_eq!(parse(&input[..cut]), Ok(None), "cut at {cut}");
        }
        response
    }

    fn meta(input: &[u8]) -> Meta<'_> {
        match one(input) {
            Response::Meta(meta) => meta,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn classic_values() {
        let raw = b"VALUE k\r\x01 4294967295 4 18446744073709551615\r\na\r\nb\r\n";
        let value = Value {
            key: b"k\r\x01",
            flags: u32::MAX,
            cas: Some(u64::MAX),
            data: b"a\r\nb",
            raw,
            header_len: raw.len() - 6,
        };
        assert_eq!(one(raw), Response::Value(value));
        let Response::Value(empty) = one(b"VALUE k 0 0\r\n\r\n") else {
            panic!("no value");
        };
        assert_eq!((empty.cas, empty.data), (None, b"".as_slice()));
        assert_eq!(one(b"END\r\n"), Response::End);
    }

    #[test]
    fn meta_answers() {
        let value = meta(b"VA 2 f7 t-1 c12 W s2 Oabc\r\nab\r\n");
        assert_eq!((value.code, value.value), (MetaCode::Value, Some(b"ab".as_slice())));
        let flags = value.flags;
        assert_eq!((flags.client_flags(), flags.ttl(), flags.cas()), (Some(7), Some(-1), Some(12)));
        assert_eq!((flags.size(), flags.has(b'W'), flags.has(b'X')), (Some(2), true, false));
        assert_eq!(flags.get(b'O'), Some(b"abc".as_slice()));
        assert_eq!(meta(b"VA 0\r\n\r\n").value, Some(b"".as_slice()));
        for (line, code) in [
            ("HD", MetaCode::Header),
            ("HD c5", MetaCode::Header),
            ("EN", MetaCode::Miss),
            ("NF", MetaCode::NotFound),
            ("NF kfoo", MetaCode::NotFound),
            ("NS", MetaCode::NotStored),
            ("EX", MetaCode::Exists),
            ("MN", MetaCode::NoOp),
        ] {
            assert_eq!(meta(format!("{line}\r\n").as_bytes()).code, code);
        }
    }

    #[test]
    fn item_details() {
        let meta = meta(b"ME cas=7 exp=96 la=4 cas=13 fetch=no cls=1 size=66\r\n");
        assert_eq!(meta.debug_key(), Some(b"cas=7".as_slice()));
        assert_eq!((meta.debug_cas(), meta.debug_exp()), (Some(13), Some(96)));
        assert_eq!(meta.debug_field(b"size"), Some(b"66".as_slice()));
        assert_eq!(meta.debug_field(b"siz"), None);
    }

    #[test]
    fn other_lines() {
        for line in ["OK", "STORED", "10", "VERSION 1.6.45", "STAT pid 1", "HDX", "VALUES", ""] {
            let bytes = format!("{line}\r\n");
            assert_eq!(one(bytes.as_bytes()), Response::Line(line.as_bytes()));
        }
        for line in ["ERROR", "CLIENT_ERROR x", "SERVER_ERROR out of memory", "ERROR: x"] {
            let bytes = format!("{line}\r\n");
            let line = line.as_bytes();
            assert_eq!(one(bytes.as_bytes()), Response::Error { line });
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for header in [
            "VALUE k",
            "VALUE k 0",
            "VALUE k x 1",
            "VALUE k 0 -1",
            "VALUE k 0 1 x",
            "VALUE k 4294967296 1",
            "VALUE k 0 1 2 3",
            "VALUE k 0 1073741825",
            "VA x",
            "VA -1",
            "VA 18446744073709551616",
            "VA 1073741825",
        ] {
            let bytes = format!("{header}\r\n");
            assert_eq!(parse(bytes.as_bytes()), Err(ResponseError::BadHeader), "{header}");
        }
        assert_eq!(parse(b"VA 1\r\nabc"), Err(ResponseError::BadValueEnd));
        assert_eq!(parse(&[b'x'; MAX_RESPONSE_LINE]), Ok(None));
        assert_eq!(parse(&[b'x'; MAX_RESPONSE_LINE + 1]), Err(ResponseError::LineTooLong));
    }
}
