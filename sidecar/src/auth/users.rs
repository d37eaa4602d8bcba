//! PURE: memcached's `-Y` file, and the comparison with what a client says.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

/// Users of one file. memcached takes eight and drops the rest without a word.
pub const USERS_MAX: usize = 64;
/// Bytes of one line without its end, colon included. memcached cuts what is longer without a word.
pub const LINE_MAX: usize = 254;

/// The users of one file.
///
/// What memcached reads (its authfile.c): lines of `user:password`, the first colon divides, the rest of the line up to a
/// carriage return is the password. Either may be empty, blanks count, and a name may stand in several lines, each with a
/// password that is good: that is how one is changed. There are no comments. memcached refuses a line without a colon, an
/// empty one included, and so do we; what it silently cuts off is refused here.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Users {
    entries: Vec<Entry>,
}

/// Both words, each filled up with zeros, so that all comparisons take the same time.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    user: Padded,
    password: Padded,
}

#[derive(Clone, PartialEq, Eq)]
struct Padded {
    len: u64,
    bytes: [u8; LINE_MAX],
}

/// What is wrong with a file of users. Line numbers count from 1; no secret is in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UsersError {
    /// As memcached, which takes it for a mistake.
    #[error("is empty: each line is user:password")]
    Empty,
    /// No `user:password`.
    #[error("line {0} has no colon: each line is user:password, and there are no comments or empty lines")]
    NoColon(usize),
    /// memcached would cut it.
    #[error("line {0} is longer than {LINE_MAX} bytes")]
    TooLong(usize),
    /// memcached would stop there.
    #[error("line {0} holds a NUL byte")]
    Nul(usize),
    /// memcached would drop the rest.
    #[error("has more than {USERS_MAX} lines")]
    TooMany,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // never the words
        write!(f, "Users({})", self.entries.len())
    }
}

impl Padded {
    /// `None` for what is too long to be in any file.
    fn new(word: &[u8]) -> Option<Self> {
        let mut bytes = [0; LINE_MAX];
        bytes.get_mut(..word.len())?.copy_from_slice(word);
        Some(Self { len: word.len() as u64, bytes })
    }

    fn same(&self, other: &Self) -> Choice {
        self.len.ct_eq(&other.len) & self.bytes.ct_eq(&other.bytes)
    }
}

impl Users {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(file: &[u8]) -> Result<Self, UsersError> {
        let lines = file.strip_suffix(b"\n").unwrap_or(file);
        if file.is_empty() {
            return Err(UsersError::Empty);
        }
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(lines.split(|byte| *byte == b'\n')) {
            let line = line.split(|byte| *byte == b'\r').next().unwrap_or_default();
            if line.contains(&0) {
                return Err(UsersError::Nul(number));
            }
            let colon = line.iter().position(|byte| *byte == b':').ok_or(UsersError::NoColon(number))?;
            let (user, password) = (line.get(..colon), line.get(colon + 1..));
            let (Some(user), Some(password)) = (user.and_then(Padded::new), password.and_then(Padded::new)) else {
                return Err(UsersError::TooLong(number));
            };
            if line.len() > LINE_MAX {
                return Err(UsersError::TooLong(number));
            }
            if entries.len() == USERS_MAX {
                return Err(UsersError::TooMany);
            }
            entries.push(Entry { user, password });
        }
        Ok(Self { entries })
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is let in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether this user has this password. Takes the same time whoever is asked for: every line is compared, each over its
    /// full length.
    #[must_use]
    pub fn check(&self, user: &[u8], password: &[u8]) -> bool {
        let (Some(user), Some(password)) = (Padded::new(user), Padded::new(password)) else {
            // longer than any: nothing is learnt but that
            return false;
        };
        let none = Choice::from(0);
        let found = self
            .entries
            .iter()
            .fold(none, |found, entry| found | (entry.user.same(&user) & entry.password.same(&password)));
        found.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(file: &str) -> Users {
        Users::parse(file.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_colon_divides_and_everything_else_counts() {
        let all = users("web:secret\r\nweb:new secret\nx:\n:anonymous\ncolon:a:b\nlast:end");
        assert_eq!(all.len(), 6);
        for (user, password) in
            [("web", "secret"), ("web", "new secret"), ("x", ""), ("", "anonymous"), ("colon", "a:b"), ("last", "end")]
        {
            assert!(all.check(user.as_bytes(), password.as_bytes()), "{user}");
        }
        for (user, password) in [
            ("web", ""),
            ("web", "secret\r"),
            ("web", "secret\0"),
            ("we", "secret"),
            ("webs", "ecret"),
            ("x", "secret"),
            ("WEB", "secret"),
            ("colon:a", "b"),
            ("", ""),
            ("last", "en"),
        ] {
            assert!(!all.check(user.as_bytes(), password.as_bytes()), "{user} {password:?}");
        }
    }

    #[test]
    fn what_memcached_refuses_or_cuts_is_an_error() {
        let long = "u:".to_owned() + &"p".repeat(LINE_MAX - 2);
        assert!(users(&long).check(b"u", "p".repeat(LINE_MAX - 2).as_bytes()));
        assert!(!users(&long).check(b"u", "p".repeat(LINE_MAX - 1).as_bytes()));
        assert!(!users(&long).check(b"u", "p".repeat(4096).as_bytes()));
        let many = "u:p\n".repeat(USERS_MAX);
        assert_eq!(users(&many).len(), USERS_MAX);
        for (file, error) in [
            ("", UsersError::Empty),
            ("\n", UsersError::NoColon(1)),
            ("u:p\n\n", UsersError::NoColon(2)),
            ("# the users\nu:p\n", UsersError::NoColon(1)),
            ("u:p\nnobody", UsersError::NoColon(2)),
            ("u:p\0q\n", UsersError::Nul(1)),
            (&format!("{long}p"), UsersError::TooLong(1)),
            (&format!("u:p\n{}:p\n", "u".repeat(300)), UsersError::TooLong(2)),
            (&format!("{many}u:p\n"), UsersError::TooMany),
        ] {
            assert_eq!(Users::parse(file.as_bytes()), Err(error));
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?}", users("web:secret\n")), "Users(1)");
    }
}
