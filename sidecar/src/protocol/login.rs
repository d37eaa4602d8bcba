//! What a client of the text protocol says before it is let in: memcached's `-Y`, where a `set` of any key carries
//! `user password` as its value. Nothing else is understood then, and hardly anything is kept.

use super::limits::{Dialect, MAX_UNFINISHED_LINE};
use super::number::{c_u32, digits};
use super::reply;
use super::words::Words;

/// Longest value that is waited for, in bytes. That is the bound of memcached 1.6.45; 1.6.38 has none and
/// waits for ever for what does not fit into its buffer.
pub const MAX_TOKEN: u32 = 16 * 1024;
/// Shortest line that memcached 1.6.45 looks at, in bytes without the line feed; what is shorter closes the connection.
const MIN_LINE: usize = 6;

/// What the bytes at the start of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login<'a> {
    /// Nothing can be done before there are so many bytes: at most a line, or a line and [`MAX_TOKEN`].
    Incomplete {
        /// Bytes, counted from the first one of this input.
        need: usize,
    },
    /// To be compared with the users.
    Credentials {
        /// The name.
        user: &'a [u8],
        /// The password.
        password: &'a [u8],
        /// Bytes of input that are done with.
        consumed: usize,
    },
    /// Refused, whatever the users are.
    Refused {
        /// To be sent.
        reply: &'static [u8],
        /// Bytes of input that are done with.
        consumed: usize,
    },
    /// The connection is closed without a word.
    Close,
}

/// Looks at `input`, which starts with the first byte that is not consumed yet.
#[must_use]
pub fn step(input: &[u8], dialect: Dialect) -> Login<'_> {
    let shortest = match dialect {
        Dialect::Legacy => 2,
        Dialect::Modern => 3,
    };
    if input.len() < shortest {
        return Login::Incomplete { need: shortest };
    }
    let Some(end) = memchr::memchr(b'\n', input) else {
        return if input.len() > MAX_UNFINISHED_LINE {
            Login::Close
        } else {
            Login::Incomplete { need: input.len() + 1 }
        };
    };
    let (line, value) = (input.get(..end).unwrap_or_default(), input.get(end + 1..).unwrap_or_default());
    let refused = |reply, len| Login::Refused { reply, consumed: end + 1 + len };
    let announced = match dialect {
        Dialect::Legacy => announced_legacy(line),
        Dialect::Modern if line.len() < MIN_LINE => return Login::Close,
        Dialect::Modern => announced_modern(line),
    };
    let Some(len) = announced else {
        return refused(reply::UNAUTHENTICATED, 0);
    };
    if len > MAX_TOKEN {
        return refused(reply::TOKEN_TOO_LONG, 0);
    }
    let len = len as usize + 2;
    let Some(value) = value.get(..len) else {
        return Login::Incomplete { need: end + 1 + len };
    };
    let Some(token) = value.strip_suffix(b"\r\n") else {
        return refused(reply::BAD_TERMINATION, len);
    };
    let words = match dialect {
        Dialect::Legacy => legacy_words(token),
        Dialect::Modern => memchr::memchr(b' ', token).and_then(|at| Some((token.get(..at)?, token.get(at + 1..)?))),
    };
    match words {
        Some((user, password)) => Login::Credentials { user, password, consumed: end + 1 + len },
        None => refused(reply::BAD_TOKEN_FORMAT, len),
    }
}

/// `set key flags exptime length ...`: only the first word and the fifth count.
fn announced_legacy(line: &[u8]) -> Option<u32> {
    let line = memchr::memchr(0, line).and_then(|nul| line.get(..nul)).unwrap_or(line);
    let words = Words::new(line);
    (words.count() >= 5 && words.get(0) == b"set").then(|| c_u32(words.get(4)))?
}

/// The same where the last byte of a line is taken for its carriage return, whatever it is.
fn announced_modern(line: &[u8]) -> Option<u32> {
    let line = match line {
        [line @ .., b'\r', _] => line,
        [line @ .., _] => line,
        [] => line,
    };
    let words = Words::new(line);
    let number = words.get(4);
    if words.count() < 5 || !line.starts_with(b"set") || number.len() > 11 {
        return None;
    }
    u32::try_from(digits(number)?).ok()
}

/// The first two words up to a NUL; more are ignored.
fn legacy_words(token: &[u8]) -> Option<(&[u8], &[u8])> {
    let token = memchr::memchr(0, token).and_then(|nul| token.get(..nul)).unwrap_or(token);
    let words = Words::new(token);
    (words.count() >= 2).then(|| (words.get(0), words.get(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::Legacy, Dialect::Modern];

    #[test]
    fn a_login_needs_all_of_its_bytes_and_no_more() {
        let input = b"set any 0 0 10 noreply\r\nuser pass1\r\nget k\r\n";
        let whole = input.len() - b"get k\r\n".len();
        for dialect in BOTH {
            for len in 0..whole {
                assert!(
                    matches!(step(&input[..len], dialect), Login::Incomplete { need } if need > len && need <= whole)
                );
            }
            let expected = Login::Credentials { user: b"user", password: b"pass1", consumed: whole };
            assert_eq!(step(input, dialect), expected);
        }
    }

    #[test]
    fn nobody_makes_us_wait_for_much() {
        for dialect in BOTH {
            for len in [u32::MAX, i32::MAX as u32, MAX_TOKEN + 1] {
                let line = format!("set k 0 0 {len}\r\n");
                let expected = Login::Refused { reply: reply::TOKEN_TOO_LONG, consumed: line.len() };
                assert_eq!(step(line.as_bytes(), dialect), expected);
            }
            assert_eq!(step(&[b'x'; MAX_UNFINISHED_LINE + 1], dialect), Login::Close);
            assert_eq!(step(format!("get {}", "k ".repeat(2000)).as_bytes(), dialect), Login::Close);
        }
    }

    proptest::proptest! {
        /// Whatever comes: no panic, no more is wanted than the bound, and what is consumed is there.
        #[test]
        fn any_bytes(
            input in proptest::prop_oneof![
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
                "set [a-z ]{0,4} [0-9 ]{0,3} 0 [0-9]{1,2}( noreply)?\r?\n[a-z \r\n\0]{0,40}".prop_map(String::into_bytes),
            ],
            modern in proptest::prelude::any::<bool>(),
        ) {
            use proptest::prelude::*;
            let dialect = if modern { Dialect::Modern } else { Dialect::Legacy };
            match step(&input, dialect) {
                Login::Incomplete { need } => {
                    prop_assert!(need > input.len() && need <= input.len() + 1 + MAX_TOKEN as usize + 2);
                }
                Login::Credentials { consumed, .. } | Login::Refused { consumed, .. } => {
                    prop_assert!((1..=input.len()).contains(&consumed));
                }
                Login::Close => {}
            }
        }
    }
    use proptest::strategy::Strategy as _;
}
