//! The packets that answer requests. Each function appends one.

use super::opcode::Tag;

/// First byte of an answer.
const MAGIC: u8 = 0x81;
/// The flags before a value.
const FLAGS: u8 = 4;

/// Bytes 6 and 7 of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// Done, or a hit.
    Ok = 0x00,
    /// No such item.
    NotFound = 0x01,
    /// There is an item (with another CAS).
    Exists = 0x02,
    /// The value does not fit into an item.
    TooLarge = 0x03,
    /// Lengths that do not belong to the opcode.
    Invalid = 0x04,
    /// Nothing to append to.
    NotStored = 0x05,
    /// No number to add to.
    BadDelta = 0x06,
    /// Wrong password, or none yet. Also where flushes are switched off.
    AuthError = 0x20,
    /// The client has to go on with `sasl step`.
    AuthContinue = 0x21,
    /// No such opcode.
    Unknown = 0x81,
    /// memcached has no memory for it.
    OutOfMemory = 0x82,
}

impl Status {
    /// The body of the answer, where nothing more exact is known.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Ok | Self::AuthContinue => "",
            Self::NotFound => "Not found",
            Self::Exists => "Data exists for key.",
            Self::TooLarge => "Too large.",
            Self::Invalid => "Invalid arguments",
            Self::NotStored => "Not stored.",
            Self::BadDelta => "Non-numeric server-side value for incr or decr",
            Self::AuthError => "Auth failure.",
            Self::Unknown => "Unknown command",
            Self::OutOfMemory => "Out of memory",
        }
    }
}

/// Lengths and numbers of a header.
struct Header {
    status: Status,
    extras: u8,
    key: usize,
    body: usize,
    cas: u64,
}

#[inline]
fn header(out: &mut Vec<u8>, tag: Tag, header: &Header) {
    let [key_0, key_1] = (header.key as u16).to_be_bytes();
    let [status_0, status_1] = (header.status as u16).to_be_bytes();
    let [body_0, body_1, body_2, body_3] = (header.body as u32).to_be_bytes();
    let [a, b, c, d] = tag.opaque;
    let extras = header.extras;
    out.extend_from_slice(&[
        MAGIC, tag.opcode, key_0, key_1, extras, 0, status_0, status_1, body_0, body_1, body_2, body_3, a, b, c, d,
    ]);
    out.extend_from_slice(&header.cas.to_be_bytes());
}

/// Success with an item's CAS, or 0 where there is no item; nothing to a quiet request.
#[inline]
pub fn success(out: &mut Vec<u8>, tag: Tag, cas: u64) {
    body(out, tag, cas, b"");
}

/// The same with a body: a version, a number as eight bytes.
#[inline]
pub fn body(out: &mut Vec<u8>, tag: Tag, cas: u64, body: &[u8]) {
    if !tag.is_quiet() {
        header(out, tag, &Header { status: Status::Ok, extras: 0, key: 0, body: body.len(), cas });
        out.extend_from_slice(body);
    }
}

/// An error with its usual text. Quiet requests get it too.
pub fn error(out: &mut Vec<u8>, tag: Tag, status: Status) {
    error_text(out, tag, status, status.text());
}

/// An error with a text of its own.
pub fn error_text(out: &mut Vec<u8>, tag: Tag, status: Status, text: &str) {
    header(out, tag, &Header { status, extras: 0, key: 0, body: text.len(), cas: 0 });
    out.extend_from_slice(text.as_bytes());
}

/// A hit up to its value, of which `len` bytes are to follow: flags, and the key where the opcode returns it.
#[inline]
pub fn value(out: &mut Vec<u8>, tag: Tag, key: &[u8], flags: u32, cas: u64, len: usize) {
    let key = if tag.returns_key() { key } else { b"" };
    let body = usize::from(FLAGS) + key.len() + len;
    header(out, tag, &Header { status: Status::Ok, extras: FLAGS, key: key.len(), body, cas });
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(key);
}

/// A miss: nothing to a quiet request, and the key instead of a text where the opcode returns it.
pub fn miss(out: &mut Vec<u8>, tag: Tag, key: &[u8]) {
    if tag.is_quiet() {
        return;
    }
    if !tag.returns_key() {
        return error(out, tag, Status::NotFound);
    }
    header(out, tag, &Header { status: Status::NotFound, extras: 0, key: key.len(), body: key.len(), cas: 0 });
    out.extend_from_slice(key);
}

/// One of the packets that answer `stat`; without a name and a value the last of them.
pub fn stat(out: &mut Vec<u8>, tag: Tag, name: &[u8], value: &[u8]) {
    let body = name.len() + value.len();
    header(out, tag, &Header { status: Status::Ok, extras: 0, key: name.len(), body, cas: 0 });
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag { opcode: 0x0c, opaque: *b"abcd" };

    #[test]
    fn a_hit_with_its_key() {
        let mut out = Vec::new();
        value(&mut out, TAG, b"key", 5, 7, 2);
        let expected = b"\x81\x0c\0\x03\x04\0\0\0\0\0\0\x09abcd\0\0\0\0\0\0\0\x07\0\0\0\x05key";
        assert_eq!(out, expected);
    }

    #[test]
    fn a_miss_with_its_key() {
        let mut out = Vec::new();
        miss(&mut out, TAG, b"key");
        assert_eq!(out, b"\x81\x0c\0\x03\0\0\0\x01\0\0\0\x03abcd\0\0\0\0\0\0\0\0key");
        out.clear();
        miss(&mut out, Tag { opcode: 0x0d, ..TAG }, b"key");
        assert_eq!(out, b"");
    }

    #[test]
    fn quiet_requests_hear_of_errors_only() {
        let quiet = Tag { opcode: 0x11, ..TAG };
        let mut out = Vec::new();
        success(&mut out, quiet, 1);
        assert_eq!(out, b"");
        error(&mut out, quiet, Status::Exists);
        let header = b"\x81\x11\0\0\0\0\0\x02\0\0\0\x14abcd\0\0\0\0\0\0\0\0";
        assert_eq!(out, [header.as_slice(), b"Data exists for key."].concat());
    }
}
