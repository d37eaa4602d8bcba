//! What became of a request, in the words of the client's protocol.

use crate::clock::Version;
use crate::protocol::binary::opcode::Verb;
use crate::protocol::binary::{Status, Tag, answer};
use crate::protocol::{StoreMode, reply};

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// By a line of the text protocol.
    Text {
        /// Or by nothing.
        noreply: bool,
    },
    /// By a packet of the binary protocol.
    Binary(Tag),
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'a> {
    /// The value is stored, with this version.
    Stored(Version),
    /// The number now, with its version.
    Number(&'a [u8], Version),
    /// The item has a new end; its flags where they were asked for.
    Touched(Version, Option<u32>),
    /// The item is gone.
    Deleted,
    /// All items are gone.
    Flushed,
    /// There was an item where none may be, or none where one must be.
    NotStored,
    /// The item has another CAS.
    Exists,
    /// There is no such item.
    NotFound,
    /// The value does not fit into an item; the one before is gone.
    TooLarge,
    /// memcached's own words.
    Error(&'a [u8]),
    /// memcached's own words.
    Line(&'a [u8]),
}

/// Appends the answer.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, to: To, outcome: &Outcome<'_>) {
    match to {
        To::Text { noreply: true } => {}
        To::Text { noreply: false } => text(out, outcome),
        To::Binary(tag) => binary(out, tag, outcome),
    }
}

fn text(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    let line: &[u8] = match outcome {
        Outcome::Stored(_) => b"STORED\r\n",
        Outcome::Touched(..) => b"TOUCHED\r\n",
        Outcome::Deleted => b"DELETED\r\n",
        Outcome::Flushed => b"OK\r\n",
        Outcome::NotStored => b"NOT_STORED\r\n",
        Outcome::Exists => b"EXISTS\r\n",
        Outcome::NotFound => b"NOT_FOUND\r\n",
        Outcome::TooLarge => reply::TOO_LARGE,
        Outcome::Number(line, _) | Outcome::Error(line) | Outcome::Line(line) => {
            out.extend_from_slice(line);
            b"\r\n"
        }
    };
    out.extend_from_slice(line);
}

fn binary(out: &mut Vec<u8>, tag: Tag, outcome: &Outcome<'_>) {
    match outcome {
        Outcome::Stored(version) => answer::success(out, tag, version.raw()),
        Outcome::Number(digits, version) => {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.trim_end().parse::<u64>().ok());
            answer::body(out, tag, version.raw(), &number.unwrap_or(0).to_be_bytes());
        }
        Outcome::Touched(version, flags) => answer::value(out, tag, b"", flags.unwrap_or(0), version.raw(), 0),
        Outcome::Deleted | Outcome::Flushed => answer::success(out, tag, 0),
        Outcome::NotStored => answer::error(out, tag, not_stored(tag)),
        Outcome::Exists => answer::error(out, tag, Status::Exists),
        Outcome::NotFound => answer::error(out, tag, Status::NotFound),
        Outcome::TooLarge => answer::error(out, tag, Status::TooLarge),
        Outcome::Error(line) => error(out, tag, line),
        Outcome::Line(line) => answer::body(out, tag, 0, line.strip_prefix(b"VERSION ").unwrap_or(line)),
    }
}

/// What this protocol calls it where an add finds an item, or a replace none.
fn not_stored(tag: Tag) -> Status {
    match tag.verb() {
        Some(Verb::Store(StoreMode::Add)) => Status::Exists,
        Some(Verb::Store(StoreMode::Replace)) => Status::NotFound,
        _ => Status::NotStored,
    }
}

/// An error line of memcached as this protocol knows it.
fn error(out: &mut Vec<u8>, tag: Tag, line: &[u8]) {
    match line {
        b"CLIENT_ERROR cannot increment or decrement non-numeric value" => answer::error(out, tag, Status::BadDelta),
        b"SERVER_ERROR object too large for cache" => answer::error(out, tag, Status::TooLarge),
        line if line.starts_with(b"SERVER_ERROR") => {
            let text = match tag.verb() {
                Some(Verb::Store(_)) => "Out of memory allocating item",
                Some(Verb::Arithmetic(_)) => "Out of memory incrementing value",
                _ => Status::OutOfMemory.text(),
            };
            answer::error_text(out, tag, Status::OutOfMemory, text);
        }
        _ => answer::error(out, tag, Status::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(opcode: u8, outcome: &Outcome<'_>) -> Option<u8> {
        let mut out = Vec::new();
        write(&mut out, To::Binary(Tag { opcode, opaque: [0; 4] }), outcome);
        out.get(7).copied()
    }

    #[test]
    fn what_is_not_stored_has_a_name_for_each_opcode() {
        for (opcode, expected) in [(0x02, 0x02), (0x12, 0x02), (0x03, 0x01), (0x13, 0x01), (0x0e, 0x05), (0x1a, 0x05)] {
            assert_eq!(status(opcode, &Outcome::NotStored), Some(expected), "{opcode:#x}");
        }
    }

    #[test]
    fn memcacheds_errors_have_a_status() {
        for (line, expected) in [
            (&b"CLIENT_ERROR cannot increment or decrement non-numeric value"[..], 0x06),
            (b"SERVER_ERROR object too large for cache", 0x03),
            (b"SERVER_ERROR out of memory storing object", 0x82),
            (b"CLIENT_ERROR whatever", 0x04),
        ] {
            assert_eq!(status(0x15, &Outcome::Error(line)), Some(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn noreply_is_silence() {
        let mut out = Vec::new();
        write(&mut out, To::Text { noreply: true }, &Outcome::Error(b"ERROR"));
        assert_eq!(out, b"");
        write(&mut out, To::Text { noreply: false }, &Outcome::Error(b"ERROR"));
        assert_eq!(out, b"ERROR\r\n");
    }
}
