//! The words of which requests are made.

use proptest::prelude::*;
use proptest::sample::select;

/// Mostly `usual`, sometimes one of `odd`.
pub(super) fn word(
    usual: &'static [&'static str],
    odd: &'static [&'static str],
) -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![12 => select(usual), 1 => select(odd)]
}

/// Keys with which there may be arithmetic. Those of [`super::meta`] that may hold nothing are not among them: memcached
/// reads on behind an empty value, or one of white space, when it is asked to increment it.
pub(super) fn key() -> impl Strategy<Value = &'static str> + Clone {
    word(&["@a", "@b", "@c", "@d"], &["@\u{1}", "@", "@a@a", "@a ", " @b", "@c\u{7f}"])
}

/// The classic flags.
pub(super) fn flags() -> impl Strategy<Value = &'static str> + Clone {
    word(&["0", "0", "5", "4294967295"], &["x", "-1", "4294967296", "", "007"])
}

/// Only such as are over at once or last longer than the test.
pub(super) fn exptime() -> impl Strategy<Value = &'static str> + Clone {
    word(&["0", "0", "1000", "2592000", "-1"], &["x", "2592001", "-2", "99999999999", "1x", "4102444800"])
}

/// The same where damage may make the number shorter: still nothing that ends during the test.
pub(super) fn robust_exptime() -> impl Strategy<Value = &'static str> + Clone {
    select(&["0", "86400", "-86400"][..])
}

/// The end of a classic command.
pub(super) fn noreply() -> impl Strategy<Value = &'static str> + Clone {
    word(&["", "", "", " noreply"], &[" noreply x", " x", " ", " NOREPLY"])
}

/// The end of a line.
pub(super) fn line_end() -> impl Strategy<Value = &'static str> + Clone {
    word(&["\r\n"], &["\n", "\r\n\r\n", " \r\n"])
}

/// Never empty or white space only: see [`key`]. Long ones have `lines` lines, because a long line without an end closes
/// the connection or not depending on how it arrives.
pub(super) fn value(lines: usize) -> impl Strategy<Value = String> + Clone {
    let line = format!("{}\r\n", "v".repeat(60));
    prop_oneof![
        4 => "[0-9]{1,20}",
        3 => "[a-z][a-z ]{0,30}",
        1 => Just("18446744073709551615".to_owned()),
        1 => Just("END\r\nVALUE k 0 1\r\nget k\r\n".to_owned()),
        1 => (0..=lines, "v{1,30}").prop_map(move |(lines, rest)| line.repeat(lines) + &rest),
    ]
}

/// A value with the length that is said of it, which is mostly right.
pub(super) fn announced(lines: usize) -> impl Strategy<Value = (String, i64)> + Clone {
    let wrong = prop_oneof![20 => Just(0_i64), 1 => -3_i64..4];
    (value(lines), wrong).prop_map(|(value, wrong)| {
        let length = value.len() as i64 + wrong;
        (value, length)
    })
}
