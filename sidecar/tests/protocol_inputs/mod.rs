//! Random input of clients: near enough to commands that all of the parser is reached.

use proptest::prelude::*;

/// A few lines, well-formed or not, with values behind some of them.
pub(crate) fn lines() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        10 => prop::sample::select(vec![
            "get", "gets", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas",
            "incr", "decr", "delete", "touch", "flush_all", "version", "verbosity", "slabs",
            "stats foo", "lru", "lru_crawler", "bget", "foo",
        ]),
        30 => prop::sample::select(vec![
            "k", "a", "0", "1", "2", "3", "10", "-1", "noreply", "100", "4294967297", "x", "1x",
            "-", "+1", "\t1", "k\u{1}", "1\u{0}2",
        ]),
    ];
    let blank = prop_oneof![
        20 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just("\0"), 1 => Just("\r"),
        1 => Just("\r\n"), 1 => Just(" \n"),
    ];
    let line_end = prop_oneof![10 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r\r\n"), 1 => Just(" \r\n")];
    let start = prop_oneof![20 => Just(""), 1 => Just(" "), 1 => Just("\r"), 1 => Just("\0")];
    let line = (start, prop::collection::vec((word, blank), 1..8), line_end).prop_map(|(start, words, line_end)| {
        let mut line = start.to_owned();
        for (word, blank) in &words {
            line.push_str(word);
            line.push_str(blank);
        }
        line.pop();
        line.push_str(line_end);
        line
    });
    let set = (
        prop::sample::select(vec!["set", "add", "replace", "append", "prepend", "cas"]),
        prop::sample::select(vec!["k", "a"]),
        "[0-9]{0,3}",
        prop::sample::select(vec!["", " 1", " noreply", " 1 noreply"]),
    )
        .prop_map(|(verb, key, value, rest)| format!("{verb} {key} 0 0 {}{rest}\r\n{value}\r\n", value.len()));
    prop::collection::vec(prop_oneof![line, set], 1..6).prop_map(|lines| lines.concat().into_bytes())
}
