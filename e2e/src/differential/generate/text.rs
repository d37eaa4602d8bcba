//! Classic commands.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::words::{announced, exptime, flags, key, line_end, noreply, robust_exptime, value, word};

fn storage(lines: usize) -> impl Strategy<Value = String> {
    let verb = select(&["set", "set", "add", "replace", "append", "prepend"][..]);
    (verb, key(), flags(), exptime(), announced(lines), noreply(), line_end()).prop_map(
        |(verb, key, flags, exptime, (value, length), noreply, end)| {
            format!("{verb} {key} {flags} {exptime} {length}{noreply}{end}{value}\r\n")
        },
    )
}

/// Its flags are never left out: the cas number, which is not the same on both sides, would become a length.
fn compare_and_swap(lines: usize) -> impl Strategy<Value = String> {
    let token = word(
        &["<cas:@a>", "<cas:@b>", "<cas:@c>", "<cas:@d>", "<old:@a>", "<old:@b>"],
        &["0", "-1", "x", "", "18446744073709551615", "9999999999999999999999"],
    );
    (key(), word(&["0", "5"], &["x", "-1", "4294967296"]), exptime(), value(lines), token, noreply()).prop_map(
        |(key, flags, exptime, value, token, noreply)| {
            format!("cas {key} {flags} {exptime} {} {token}{noreply}\r\n{value}\r\n", value.len())
        },
    )
}

/// A flush with a delay is left out: memcached keeps the time of one flush only, and its second is an early one.
pub(super) fn command(lines: usize) -> impl Strategy<Value = String> {
    let keys = || {
        let read = prop_oneof![12 => key(), 1 => super::one_of(&["@v", "@w"])];
        vec(read, 1..6).prop_map(|keys| keys.join(" "))
    };
    let delta = word(&["0", "1", "7", "100", "18446744073709551615"], &["x", "-1", "", "1x", "18446744073709551616"]);
    let rest = select(
        &[
            "verbosity 0\r\n",
            "\r\n",
            "get\r\n",
            "nonsense @a\r\n",
            "flush_all x\r\n",
            "set @a\r\n",
            "gat 5\r\n",
            "gat\r\n",
            "touch @a\r\n",
            "incr @a\r\n",
            "decr\r\n",
            "cas @a 0 0 1\r\n",
            "set @a 0 0 -1\r\n",
            "set @a 0 0 x\r\n",
            "add @a 0 0\r\n",
            "delete @a 0 noreply x\r\n",
            "touch @a 0 0 0 noreply\r\n",
            "verbosity\r\n",
            "GET @a\r\n",
            "getx @a\r\n",
            "delete\r\n",
            "stats foo\r\n",
            "shutdown\r\n",
            "\u{0}\r\n",
            "quit\r\n",
            "flush_all\r\n",
            "flush_all 0 noreply\r\n",
            "flush_all noreply\r\n",
        ][..],
    );
    prop_oneof![
        30 => storage(lines),
        8 => compare_and_swap(lines),
        20 => (select(&["get", "gets"][..]), keys(), line_end()).prop_map(|(verb, keys, end)| format!("{verb} {keys}{end}")),
        8 => (select(&["gat", "gats"][..]), exptime(), keys()).prop_map(|(verb, time, keys)| format!("{verb} {time} {keys}\r\n")),
        15 => (select(&["incr", "decr"][..]), key(), delta, noreply())
            .prop_map(|(verb, key, delta, noreply)| format!("{verb} {key} {delta}{noreply}\r\n")),
        10 => (key(), word(&["", "", " 0"], &[" 5", " x"]), noreply())
            .prop_map(|(key, time, noreply)| format!("delete {key}{time}{noreply}\r\n")),
        8 => (key(), exptime(), noreply()).prop_map(|(key, time, noreply)| format!("touch {key} {time}{noreply}\r\n")),
        3 => rest.prop_map(str::to_owned),
    ]
}

/// Commands to damage: whatever becomes of a time or a cas number may not depend on when it is sent. No flush whose
/// argument could become a delay.
pub(super) fn plain() -> impl Strategy<Value = String> + Clone {
    let verb = select(&["set", "set", "add", "replace", "append", "prepend", "cas"][..]);
    let store = (verb, key(), flags(), robust_exptime(), value(0), noreply());
    let stored = store.prop_map(|(verb, key, flags, exptime, value, noreply)| {
        let token = if verb == "cas" { " 9" } else { "" };
        format!("{verb} {key} {flags} {exptime} {}{token}{noreply}\r\n{value}\r\n", value.len())
    });
    let keys = || vec(key(), 1..6).prop_map(|keys| keys.join(" "));
    prop_oneof![
        6 => stored,
        4 => (select(&["get", "gets"][..]), keys()).prop_map(|(verb, keys)| format!("{verb} {keys}\r\n")),
        1 => (select(&["gat", "gats"][..]), robust_exptime(), keys())
            .prop_map(|(verb, time, keys)| format!("{verb} {time} {keys}\r\n")),
        2 => (select(&["incr", "decr"][..]), key(), select(&["1", "100"][..]), noreply())
            .prop_map(|(verb, key, delta, noreply)| format!("{verb} {key} {delta}{noreply}\r\n")),
        2 => (key(), noreply()).prop_map(|(key, noreply)| format!("delete {key}{noreply}\r\n")),
        1 => (key(), robust_exptime(), noreply()).prop_map(|(key, time, noreply)| format!("touch {key} {time}{noreply}\r\n")),
    ]
}
