//! The parser's part of the edge cases of memcached's protocols, each test named after its number
//! in the project's list of them. What memcached answers to a request that the parser hands on is
//! not decided here.

use sidecar::protocol::dump::{self, DumpLine};
use sidecar::protocol::reply::{self, Farewell};
use sidecar::protocol::{
    Command, Dialect, Direction, Keys, Limits, MetaRequest, MetaVerb, Parser, Request, Step, StoreMode, StreamKind,
    binary,
};

const MODERN: Limits = Limits { item_size_max: 1024 * 1024, dialect: Dialect::Modern, flush_enabled: true };
const LEGACY: Limits = Limits { dialect: Dialect::Legacy, ..MODERN };
const BOTH: [Limits; 2] = [LEGACY, MODERN];

/// What a step says, without the bytes it takes.
#[derive(Debug, PartialEq, Eq)]
enum Seen<'a> {
    Asked(Command<'a>),
    AskedSilently(Command<'a>),
    AskedBinary(binary::Command<'a>),
    Answered(&'static [u8]),
    Closed(Farewell),
    Waiting,
}
use Seen::{Answered, Asked, AskedBinary, AskedSilently, Closed, Waiting};

fn see<'a>(limits: &Limits, input: &'a [u8]) -> Vec<Seen<'a>> {
    let mut parser = Parser::new();
    let mut rest = input;
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let consumed = match parser.step(rest, limits) {
            Step::Incomplete { .. } => {
                seen.push(Waiting);
                break;
            }
            Step::Request { request: Request { command, noreply: false }, consumed } => {
                seen.push(Asked(command));
                consumed
            }
            Step::Request { request, consumed } => {
                seen.push(AskedSilently(request.command));
                consumed
            }
            Step::Binary { request, consumed } => {
                seen.push(AskedBinary(request.command));
                consumed
            }
            Step::Answer { reply, consumed } => {
                // Nothing is seen of what is swallowed.
                if !reply.is_empty() {
                    seen.push(Answered(reply));
                }
                consumed
            }
            Step::Close { farewell, consumed } => {
                seen.push(Closed(farewell));
                consumed
            }
        };
        assert_ne!(consumed, 0, "a step takes something");
        rest = &rest[consumed..];
    }
    seen
}

fn get(keys: &[u8]) -> Command<'_> {
    Command::Get { cas: false, keys: Keys::new(keys) }
}

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Command<'a> {
    Command::Store { mode: StoreMode::Set, key, flags: 0, exptime: 0, value, compare: None }
}

/// A line that must be answered alike by both parsers.
fn answer(line: &str, reply: &'static [u8]) {
    for limits in BOTH {
        assert_eq!(see(&limits, line.as_bytes()), [Answered(reply)], "{line:?}");
    }
}

#[test]
fn edge_01_bad_data_chunk_leaves_the_rest() {
    let input = b"set k 0 0 3\r\nabcd\r\n";
    // "d\r" is taken for the line end; the line feed is a line of its own.
    let chunk = Answered(reply::BAD_DATA_CHUNK);
    assert_eq!(see(&LEGACY, input), [chunk, Answered(reply::ERROR)]);
    let chunk = Answered(reply::BAD_DATA_CHUNK);
    assert_eq!(see(&MODERN, input), [chunk, Answered(reply::BAD_FORMAT)]);
}

#[test]
fn edge_02_keys_of_250_and_251_bytes() {
    let (good, bad) = ("k".repeat(250), "k".repeat(251));
    let input = format!("set {good} 0 0 1\r\nx\r\n");
    for limits in BOTH {
        let asked = Asked(set(good.as_bytes(), b"x"));
        assert_eq!(see(&limits, input.as_bytes()), [asked]);
    }
    let input = format!("set {bad} 0 0 7\r\nversion\r\nget a\r\n");
    let error = || Answered(reply::BAD_FORMAT);
    let found = see(&MODERN, input.as_bytes());
    assert_eq!(found, [error(), Asked(get(b"a"))], "swallowed");
    let found = see(&LEGACY, input.as_bytes());
    let value = Asked(Command::Version);
    assert_eq!(found, [error(), value, Asked(get(b"a"))], "not swallowed");
}

#[test]
fn edge_03_get_of_a_long_key() {
    let long = "k".repeat(251);
    for (limits, reply) in [(LEGACY, reply::BAD_FORMAT), (MODERN, reply::BAD_FORMAT_BLANK_LINE)] {
        let refused = |exptime, keys| [Asked(Command::RefusedGet { exptime, keys: Keys::new(keys), reply })];
        assert_eq!(see(&limits, format!("get a  b {long} c\r\n").as_bytes()), refused(None, b"a b"));
        assert_eq!(see(&limits, format!("gat 7 a {long}\r\n").as_bytes()), refused(Some(7), b"a"));
        for input in [format!("get  {long} a\r\n"), format!("gat 7 {long}\r\n")] {
            assert_eq!(see(&limits, input.as_bytes()), [Answered(reply)], "no key before it");
        }
    }
}

#[test]
fn edge_04_too_large_is_told_at_the_line_and_swallowed() {
    let value = "v".repeat(1024 * 1024);
    for limits in BOTH {
        let input = format!("set k 0 0 {}\r\n{value}\r\nget k\r\n", value.len());
        let large = Asked(Command::TooLarge { key: b"k" });
        assert_eq!(see(&limits, input.as_bytes()), [large, Asked(get(b"k"))]);

        let input = format!("set k 0 0 {} noreply\r\n{value}\r\nget k\r\n", value.len());
        let large = AskedSilently(Command::TooLarge { key: b"k" });
        assert_eq!(see(&limits, input.as_bytes()), [large, Asked(get(b"k"))]);

        for line in ["add k 0 0", "replace k 0 0", "append k 0 0"] {
            let input = format!("{line} {}\r\n{value}\r\nget k\r\n", value.len());
            let kept = Answered(reply::TOO_LARGE);
            assert_eq!(see(&limits, input.as_bytes()), [kept, Asked(get(b"k"))]);
        }
        let input = format!("cas k 0 0 {} 1 noreply\r\n{value}\r\nget k\r\n", value.len());
        assert_eq!(see(&limits, input.as_bytes()), [Asked(get(b"k"))]);
    }
}

#[test]
fn edge_05_half_a_value_is_nothing() {
    for limits in BOTH {
        assert_eq!(see(&limits, b"set k 0 0 10\r\nabc"), [Waiting]);
        let step = Parser::new().step(b"set k 0 0 10\r\nabc", &limits);
        assert_eq!(step, Step::Incomplete { need: 14 + 12 });
    }
}

#[test]
fn edge_06_and_07_exptimes_are_handed_on() {
    for limits in BOTH {
        for exptime in [-1, 2_592_000, 2_592_001, i32::MAX, i32::MIN] {
            let input = format!("touch k {exptime}\r\n");
            let touch = Asked(Command::Touch { key: b"k", exptime });
            assert_eq!(see(&limits, input.as_bytes()), [touch]);
        }
    }
    // Cut to 32 bits: for ever.
    let line = b"touch k 4294967296\r\n";
    let touch = Asked(Command::Touch { key: b"k", exptime: 0 });
    assert_eq!(see(&LEGACY, line), [touch]);
    assert_eq!(see(&MODERN, line), [Answered(reply::INVALID_EXPTIME)]);
}

#[test]
fn edge_08_and_09_deltas() {
    for limits in BOTH {
        let incr = Asked(Command::Arithmetic { direction: Direction::Increment, key: b"k", delta: u64::MAX });
        assert_eq!(see(&limits, b"incr k 18446744073709551615\r\n"), [incr]);
    }
    for line in ["incr k abc\r\n", "decr k -1\r\n", "incr k 18446744073709551616\r\n"] {
        answer(line, reply::INVALID_DELTA);
    }
}

#[test]
fn edge_10_delete_with_an_old_argument() {
    let delete = || Asked(Command::Delete { key: b"k" });
    for limits in BOTH {
        assert_eq!(see(&limits, b"delete k\r\n"), [delete()]);
        assert_eq!(see(&limits, b"delete k 0\r\n"), [delete()]);
        let silent = AskedSilently(Command::Delete { key: b"k" });
        assert_eq!(see(&limits, b"delete k noreply\r\n"), [silent]);
    }
    assert_eq!(see(&MODERN, b"delete k 5\r\n"), [delete()]);
    assert_eq!(see(&LEGACY, b"delete k 5\r\n"), [Answered(reply::DELETE_USAGE)]);
}

#[test]
fn edge_11_noreply_silences_what_could_be_parsed() {
    for limits in BOTH {
        assert_eq!(see(&limits, b"touch k x noreply\r\n"), []);
        assert_eq!(see(&limits, b"set k 0 0 1 noreply\r\nxy\r"), []);
    }
    let unparsable = b"set k 0 noreply\r\n";
    assert_eq!(see(&MODERN, unparsable), [Answered(reply::BAD_FORMAT)]);
    assert_eq!(see(&LEGACY, unparsable), [Answered(reply::ERROR)]);
    let line = b"set k 0 0 1 noreply extra\r\nx\r\n";
    assert_eq!(see(&MODERN, line), [Asked(set(b"k", b"x"))]);
    let error = || Answered(reply::ERROR);
    assert_eq!(see(&LEGACY, line), [error(), error()]);
    // Even a command that does not exist is silenced.
    assert_eq!(see(&MODERN, b"foo noreply\r\n"), []);
    assert_eq!(see(&LEGACY, b"foo noreply\r\n"), [error()]);
}

#[test]
fn edge_12_flush_all() {
    for limits in BOTH {
        for (line, delay) in
            [("flush_all\r\n", 0), ("flush_all 0\r\n", 0), ("flush_all -1\r\n", -1), ("flush_all 2\r\n", 2)]
        {
            let flush = Asked(Command::FlushAll { delay });
            assert_eq!(see(&limits, line.as_bytes()), [flush]);
        }
        let silent = || AskedSilently(Command::FlushAll { delay: 0 });
        assert_eq!(see(&limits, b"flush_all noreply\r\n"), [silent()]);
        assert_eq!(see(&limits, b"flush_all 0 noreply\r\n"), [silent()]);
        assert_eq!(see(&limits, b"flush_all abc noreply\r\n"), []);
        let off = Limits { flush_enabled: false, ..limits };
        let refused = Answered(reply::FLUSH_NOT_ALLOWED);
        assert_eq!(see(&off, b"flush_all abc\r\n"), [refused]);
    }
    answer("flush_all abc\r\n", reply::INVALID_EXPTIME);
    let many = b"flush_all 1 2 3\r\n";
    assert_eq!(see(&MODERN, many), [Asked(Command::FlushAll { delay: 1 })]);
    assert_eq!(see(&LEGACY, many), [Answered(reply::ERROR)]);
}

#[test]
fn edge_13_get_and_touch() {
    for limits in BOTH {
        let gat = Asked(Command::GetAndTouch { cas: true, exptime: 0, keys: Keys::new(b"k l") });
        assert_eq!(see(&limits, b"gats 0 k l\r\n"), [gat]);
    }
    answer("gat x k\r\n", reply::INVALID_EXPTIME);
    assert_eq!(see(&MODERN, b"gat 100\r\n"), [Answered(reply::BAD_FORMAT)]);
    assert_eq!(see(&LEGACY, b"gat 100\r\n"), [Answered(reply::END)]);
}

#[test]
fn edge_14_flags_beyond_32_bits_are_cut() {
    for limits in BOTH {
        let stored = Asked(set(b"k", b"x"));
        assert_eq!(see(&limits, b"set k 4294967296 0 1\r\nx\r\n"), [stored]);
    }
    let input = b"set k -1 0 7\r\nversion\r\n";
    assert_eq!(see(&MODERN, input), [Answered(reply::BAD_FORMAT)]);
    let not_swallowed = Asked(Command::Version);
    let error = Answered(reply::BAD_FORMAT);
    assert_eq!(see(&LEGACY, input), [error, not_swallowed]);
}

#[test]
fn edge_15_cas_tokens() {
    for limits in BOTH {
        let cas = Asked(Command::Store {
            mode: StoreMode::Set,
            key: b"k",
            flags: 1,
            exptime: -1,
            value: b"x",
            compare: Some(u64::MAX),
        });
        let input = b"cas k 1 -1 1 18446744073709551615\r\nx\r\n";
        assert_eq!(see(&limits, input), [cas]);
        let found = see(&limits, b"cas k 0 0 1 abc\r\n");
        assert_eq!(found, [Answered(reply::BAD_FORMAT)]);
    }
}

#[test]
fn edge_16_line_ends_case_and_nothing() {
    for limits in BOTH {
        assert_eq!(see(&limits, b"get k\n"), [Asked(get(b"k"))]);
        assert_eq!(see(&limits, b"set k 0 0 1\nx\r\n"), [Asked(set(b"k", b"x"))]);
        assert_eq!(see(&limits, b"set k 0 0 1\r\nx\n\n"), [Answered(reply::BAD_DATA_CHUNK)]);
    }
    answer("GET\r\n", reply::ERROR);
    answer("SET k 0 0 1\r\n", reply::ERROR);
    assert_eq!(see(&MODERN, b"\r\n"), [Answered(reply::BAD_FORMAT)]);
    assert_eq!(see(&LEGACY, b"\r\n"), [Answered(reply::ERROR)]);
}

#[test]
fn edge_17_long_lines_and_blanks() {
    for limits in BOTH {
        let silent = || Closed(Farewell::Silent);
        assert_eq!(see(&limits, &[b'x'; 2048]), [Waiting]);
        assert_eq!(see(&limits, &[b'x'; 2049]), [silent()]);
        let gats = format!("gat 0{}", " key".repeat(1000));
        assert_eq!(see(&limits, gats.as_bytes()), [silent()]);
        let gets = format!("gets{}", " key".repeat(200_000));
        assert_eq!(see(&limits, gets.as_bytes()), [Waiting]);
        let endless = format!("get {}", "k".repeat(1024 * 1024));
        assert_eq!(see(&limits, endless.as_bytes()), [silent()]);
        let found = see(&limits, b"get  a   b  \r\n");
        assert_eq!(found, [Asked(get(b"a b"))]);
    }
}

#[test]
fn edge_18_stats_are_memcacheds_but_for_ours() {
    for limits in BOTH {
        for line in ["stats", "stats foo", "stats reset", "stats detail x"] {
            let input = format!("{line}\r\n");
            let line = line.as_bytes();
            let forward = Asked(Command::Forward { line });
            assert_eq!(see(&limits, input.as_bytes()), [forward]);
        }
        let ours = [Asked(Command::ReplicationStats)];
        assert_eq!(see(&limits, b"stats replication\r\n"), ours);
    }
}

#[test]
fn edge_19_and_30_streams() {
    for limits in BOTH {
        for (line, kind) in [
            ("watch", StreamKind::Watch),
            ("watch fetchers mutations", StreamKind::Watch),
            ("lru_crawler metadump all", StreamKind::Metadump),
            ("lru_crawler mgdump hash", StreamKind::Mgdump),
        ] {
            let input = format!("{line}\r\n");
            let line = line.as_bytes();
            let stream = Asked(Command::Stream { line, kind });
            assert_eq!(see(&limits, input.as_bytes()), [stream]);
        }
        let line = b"lru_crawler metadump";
        let forward = Asked(Command::Forward { line });
        assert_eq!(see(&limits, b"lru_crawler metadump\r\n"), [forward]);
    }
    // The modern parser takes abbreviations.
    let input = b"lru_crawler m all\r\n";
    let line = b"lru_crawler m all";
    let kind = StreamKind::Metadump;
    assert_eq!(see(&MODERN, input), [Asked(Command::Stream { line, kind })]);
    assert_eq!(see(&LEGACY, input), [Asked(Command::Forward { line })]);
    let text = StreamKind::Mgdump.pipelined_reply();
    assert_eq!(text, b"ERROR cannot pipeline other commands before mgdump\r\n");
}

#[test]
fn edge_20_shutdown_and_quit() {
    for limits in BOTH {
        let line = b"shutdown graceful";
        let forward = Asked(Command::Forward { line });
        assert_eq!(see(&limits, b"shutdown graceful\r\n"), [forward]);
        let found = see(&limits, b"version\r\nquit\r\nget k\r\n");
        let closed = Closed(Farewell::Silent);
        assert_eq!(found, [Asked(Command::Version), Asked(Command::Quit), closed]);
    }
}

/// The meta command of a line, which both parsers take.
fn meta(line: &str, look: impl Fn(&MetaRequest<'_>)) {
    for limits in BOTH {
        match see(&limits, line.as_bytes()).as_slice() {
            [Asked(Command::Meta(meta))] => look(meta),
            other => panic!("{line:?}: {other:?}"),
        }
    }
}

/// What goes to memcached for it, with version 7.
fn sent(meta: &MetaRequest<'_>) -> String {
    let mut out = Vec::new();
    meta.write_to(&mut out, Some(7), false);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn edge_21_no_op_and_quiet() {
    for line in ["mn\r\n", "mn foo\r\n"] {
        answer(line, reply::NO_OP);
    }
    // memcached answers each command of a connection that many clients share.
    meta("mg k q v\r\n", |meta| assert_eq!((meta.has(b'q'), sent(meta)), (true, "mg k v E7\r\n".to_owned())));
    meta("ms k 1 q E99\r\nx\r\n", |meta| assert_eq!(sent(meta), "ms k 1 E7\r\nx\r\n"));
    meta("md k q k O1\r\n", |meta| {
        let mut echo = Vec::new();
        meta.write_echo(&mut echo);
        assert_eq!(echo, b" kk O1");
    });
}

#[test]
fn edge_22_errors_in_flags() {
    answer("mg k v v\r\n", reply::DUPLICATE_FLAG);
    answer("mg k O12345678901234567890123456789012\r\n", reply::OPAQUE_TOO_LONG);
    answer("mg Y b v\r\n", reply::KEY_NOT_DECODED);
    answer("ms Y 1 b\r\nx\r\n", reply::KEY_NOT_DECODED);
    answer("ma k N0 N0\r\n", reply::BAD_FLAG);
    meta("mg YQ== b k\r\n", |meta| {
        assert_eq!(meta.key(&mut [0; 250]), b"a");
        assert_eq!(sent(meta), "mg YQ== b k E7\r\n");
    });
}

#[test]
fn edge_24_compare_of_a_read_is_left_to_memcached() {
    meta("mg k C5 v\r\n", |meta| assert_eq!(sent(meta), "mg k C5 v E7\r\n"));
}

#[test]
fn edge_26_lengths_of_ms() {
    for line in ["ms k S1\r\n", "ms k x\r\n", "ms k -1\r\n", "ms k\r\n", "ms k 2147483646\r\n"] {
        answer(line, reply::BAD_FORMAT);
    }
    // What is wrong with a flag swallows the value, what is wrong with the value never is silent.
    answer("ms k 1 y\r\nx\r\n", reply::INVALID_FLAG);
    answer("ms k 1 Mx\r\nx\r\n", reply::INVALID_SET_MODE);
    answer("ms k 1 q\r\nxyz", reply::BAD_DATA_CHUNK);
    meta("ms k 1 MA N0 E5\r\nx\r\n", |meta| assert_eq!(sent(meta), "ms k 1 MA N0 E7\r\nx\r\n"));
}

#[test]
fn edge_32_too_large_in_every_mode() {
    let value = "v".repeat(1024 * 1024);
    for mode in ["", " ME", " MR", " MA", " MP", " C5", " q"] {
        meta(&format!("ms k {}{mode}\r\n{value}\r\n", value.len()), |meta| {
            assert_eq!(meta.verb, MetaVerb::TooLarge);
        });
    }
}

#[test]
fn edge_28_the_first_byte_tells_the_protocol() {
    let request = b"\x80\x0a\0\0\0\0\0\0\0\0\0\0abcd\0\0\0\0\0\0\0\0more";
    for limits in BOTH {
        assert_eq!(see(&limits, request), [AskedBinary(binary::Command::Noop), Waiting]);
        // No text any more.
        let text = [request.as_slice(), b" twenty bytes of text"].concat();
        assert_eq!(see(&limits, &text), [AskedBinary(binary::Command::Noop), Closed(Farewell::Silent)]);
        let step = Parser::new().step(b"\x80", &limits);
        assert_eq!(step, Step::Incomplete { need: 24 });
        // Later on it is a byte like any other.
        let found = see(&limits, b"version\r\n\x80\x0b\r\n");
        assert_eq!(found, [Asked(Command::Version), Answered(reply::ERROR)]);
        assert_eq!(see(&limits, b"get \x01\x7f\xff\r\n"), [Asked(get(b"\x01\x7f\xff"))]);
    }
    assert_eq!(see(&MODERN, b"get a\0b\r\n"), [Asked(get(b"a\0b"))]);
    assert_eq!(see(&LEGACY, b"get a\0b\r\n"), [Asked(get(b"a"))]);
}

#[test]
fn edge_30_and_37_dumps() {
    fn parse(bytes: &[u8]) -> Result<Option<DumpLine<'_>>, dump::DumpError> {
        Ok(dump::parse(bytes)?.map(|(line, _)| line))
    }
    assert_eq!(parse(b"OK\r\n"), Ok(Some(DumpLine::Started)));
    assert_eq!(parse(b"END\r\n"), Ok(Some(DumpLine::End)));
    for line in ["BUSY currently processing crawler request", "ERROR locked try again later"] {
        let bytes = format!("{line}\r\n");
        let line = line.as_bytes();
        assert_eq!(parse(bytes.as_bytes()), Ok(Some(DumpLine::Retry { line })));
    }
}

#[test]
fn edge_35_a_dump_with_the_crawler_off_is_refused() {
    let line = b"CLIENT_ERROR lru crawler disabled";
    let parsed = dump::parse(b"CLIENT_ERROR lru crawler disabled\r\n");
    assert_eq!(parsed, Ok(Some((DumpLine::Refused { line }, 35))));
}

#[test]
fn nothing_that_changes_items_is_forwarded() {
    // Spellings that could be taken for an item command on one side only.
    for line in [
        " set k 0 0 1",
        "set\tk 0 0 1",
        "SET k 0 0 1",
        "\x01set k 0 0 1",
        "set\0 k 0 0 1",
        "\0set k 0 0 1",
        "set",
        "sets k 0 0 1",
        "delete",
        " delete k",
        "\tdelete k",
        "delete\0 k",
        "touch k",
        " incr k 1",
        "flush_all\t",
        "\0flush_all",
        " flush_all x",
        "ms k 1",
        " ms k 1",
        "md k",
        "ma k",
        "mg k T0",
        "gat",
        "gat 0",
        " gat 0 k",
        "bset k 0 0 1",
        "flush k",
    ] {
        for limits in BOTH {
            let input = format!("{line}\r\n");
            for seen in see(&limits, input.as_bytes()) {
                let passed_on = match seen {
                    Asked(command) | AskedSilently(command) => {
                        matches!(command, Command::Forward { .. } | Command::Stream { .. })
                    }
                    _ => false,
                };
                assert!(!passed_on, "{:?} {line:?}", limits.dialect);
            }
        }
    }
}
