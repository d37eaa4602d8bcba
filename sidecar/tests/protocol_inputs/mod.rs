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
    let flag = prop_oneof![
        20 => prop::sample::select(vec!["b", "v", "f", "h", "k", "l", "q", "s", "t", "u", "x", "I"]),
        20 => prop::sample::select(vec![
            "Oabc", "T0", "T-1", "T100", "N30", "R30", "C0", "C999999", "E7", "F0", "F5", "D1", "D10", "J13", "MI",
            "MD", "ME", "MA", "MP", "MR", "MS", "M+", "P1", "L",
        ]),
        3 => prop::sample::select(vec![
            "T", "T+1", "T\t1", "C", "C-1", "E1x", "F4294967296", "M", "MSS", "MZ", "M\0", "J", "Dx", "S2", "y", "1", "-", "{", "\u{7f}",
            "O12345678901234567890123456789012", "kabc", "\0", "C18446744073709551616", "T000000000000001",
        ]),
    ];
    let flags = prop_oneof![
        10 => prop::collection::vec(flag.clone(), 0..6),
        1 => prop::collection::vec(flag, 16..24),
    ];
    let meta = (
        prop::sample::select(vec!["mg", "mg", "md", "ma", "m", "mx"]),
        prop::sample::select(vec!["", " k", " a", " YQ==", "  YWI=  ", " Y"]),
        flags.clone(),
        prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", " \r\n"]),
    )
        .prop_map(|(verb, key, flags, end)| {
            let flags: String = flags.into_iter().map(|flag| format!(" {flag}")).collect();
            format!("{verb}{key}{flags}{end}")
        });
    let meta_set = (
        prop::sample::select(vec!["k", "a", "YQ==", "Y"]),
        prop::sample::select(vec!["", "", "", "", "1", "x", "-"]),
        flags,
        "[0-9]{0,3}",
    )
        .prop_map(|(key, wrong, flags, value)| {
            let flags: String = flags.into_iter().map(|flag| format!(" {flag}")).collect();
            format!("ms {key} {}{wrong}{flags}\r\n{value}\r\n", value.len())
        });
    prop::collection::vec(prop_oneof![2 => line, 2 => set, 1 => meta, 1 => meta_set], 1..6)
        .prop_map(|lines| lines.concat().into_bytes())
}
