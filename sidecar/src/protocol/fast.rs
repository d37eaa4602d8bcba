//! The two most frequent lines, read in one pass.
//!
//! Whatever is unusual about a line (a second blank, a sign, a long number, a NUL, a missing end)
//! is left to the general path, which reads these lines to the same result.

use super::command::{Parsed, StoreLine};
use super::limits::{Limits, MAX_KEY};
use super::request::{Command, Keys, Request, StoreMode};

/// A `get` of one key or a `set`, and the bytes of its line with its end.
#[inline]
pub(super) fn parse<'a>(input: &'a [u8], limits: &Limits) -> Option<(Parsed<'a>, usize)> {
    match input {
        [b'g', b'e', b't', b' ', rest @ ..] => get(rest),
        [b's', b'e', b't', b' ', rest @ ..] => set(rest, limits),
        _ => None,
    }
}

const VERB: usize = 4;

#[inline]
fn get(rest: &[u8]) -> Option<(Parsed<'_>, usize)> {
    let end = memchr::memchr3(b'\n', b' ', 0, rest)?;
    let (key, [b'\n', ..]) = rest.split_at_checked(end)? else {
        return None;
    };
    let key = key.strip_suffix(b"\r").unwrap_or(key);
    if key.is_empty() || key.len() > MAX_KEY {
        return None;
    }
    let command = Command::Get { cas: false, keys: Keys::new(key) };
    let request = Request { command, noreply: false };
    Some((Parsed::Request(request, 0), VERB + end + 1))
}

#[inline]
fn set<'a>(rest: &'a [u8], limits: &Limits) -> Option<(Parsed<'a>, usize)> {
    let end = memchr::memchr3(b'\n', b' ', 0, rest)?;
    let (key, [b' ', numbers @ ..]) = rest.split_at_checked(end)? else {
        return None;
    };
    let (flags, behind) = short_number(numbers)?;
    let behind = behind.strip_prefix(b" ")?;
    let (exptime, behind) = short_number(behind)?;
    let behind = behind.strip_prefix(b" ")?;
    let (len, behind) = short_number(behind)?;
    let (noreply, value) = match behind {
        [b'\r', b'\n', value @ ..] => (false, value),
        [b' ', b'n', b'o', b'r', b'e', b'p', b'l', b'y', b'\r', b'\n', value @ ..] => (true, value),
        _ => return None,
    };
    let fits = limits.item_fits(key.len(), flags, u64::from(len));
    if key.is_empty() || key.len() > MAX_KEY || !fits {
        return None;
    }
    let store = StoreLine { mode: StoreMode::Set, key, flags, exptime: exptime as i32, len, compare: None, noreply };
    Some((Parsed::Store(store), VERB + rest.len() - value.len()))
}

/// One to nine digits, which both dialects read alike in all places: below 2^31.
#[inline]
fn short_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let mut rest = text;
    let mut sum = 0u32;
    while let [byte @ b'0'..=b'9', behind @ ..] = rest {
        // Nine digits cannot overflow; more are refused below.
        sum = sum.wrapping_mul(10).wrapping_add(u32::from(byte - b'0'));
        rest = behind;
    }
    let digits = text.len() - rest.len();
    (1..=9).contains(&digits).then_some((sum, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::command;
    use super::super::limits::Dialect;
    use super::*;

    proptest! {
        /// Where the fast path answers, the general path answers the same.
        #[test]
        fn agrees_with_the_general_path(
            verb in prop::sample::select(vec!["get ", "set "]),
            words in prop::collection::vec("[a-z0-9]{1,11}|k{249,252}|noreply|\0|-1", 1..6),
            numbers in prop::collection::vec("[0-9]{1,10}", 3),
            numeric in any::<bool>(),
            end in prop::sample::select(vec!["\r\n", "\n", " \r\n", "\r\r\n", " noreply\r\n"]),
            modern in any::<bool>(),
        ) {
            let words = if numeric { [vec!["k".to_owned()], numbers].concat() } else { words };
            let line = format!("{verb}{}{end}", words.join(" "));
            let limits = Limits {
                item_size_max: 1 << 20,
                dialect: if modern { Dialect::Modern } else { Dialect::Legacy },
                flush_enabled: true,
            };
            if let Some((parsed, consumed)) = parse(line.as_bytes(), &limits) {
                prop_assert_eq!(consumed, line.len());
                let (bare, line_end) = match line.strip_suffix("\r\n") {
                    Some(bare) => (bare, 2),
                    None => (line.trim_end_matches('\n'), 1),
                };
                let general = command::parse(bare.as_bytes(), line_end, &limits);
                prop_assert_eq!(format!("{parsed:?}"), format!("{general:?}"));
            }
        }
    }
}
