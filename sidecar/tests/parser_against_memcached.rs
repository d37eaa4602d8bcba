//! The parser against memcached itself.
//!
//! The same bytes go to one memcached as they are, and through the parser to another one of the
//! same release: what the parser answers by itself is taken as it is, what it understood is sent
//! on in the one canonical form of that command. Both must have answered the same bytes, closed or
//! not closed, and hold the same items afterwards.

mod protocol_inputs;
mod real_memcached;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use real_memcached::{Memcached, find};
use sidecar::protocol::{
    Command, Dialect, Direction, Keys, Limits, Parser, Request, Response, Step, StoreMode, reply,
    response,
};

/// Stands behind every input: it is answered if the connection is open and in step.
const LAST: &[u8] = b"version\r\n";

struct Pair {
    direct: Memcached,
    behind: Memcached,
    /// To look at the items of the two.
    look: [UnixStream; 2],
    limits: Limits,
}

impl Pair {
    fn start(executable: &PathBuf, arguments: &[&str], item_size_max: u64) -> Self {
        let direct = Memcached::start(executable, arguments).expect("memcached starts");
        let behind = Memcached::start(executable, arguments).expect("memcached starts");
        let probe = direct.answers(Dialect::PROBE).expect("memcached answers");
        let line = probe.strip_suffix(b"\r\n").expect("a line");
        let look = [&direct, &behind].map(|one| one.connect().expect("memcached listens"));
        Self {
            direct,
            behind,
            look,
            limits: Limits {
                item_size_max,
                dialect: Dialect::of_probe_reply(line).expect("a dialect"),
                flush_enabled: !arguments.contains(&"-F"),
            },
        }
    }

    /// Both answers, `LAST` included.
    fn both(&self, input: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut input = input.to_vec();
        input.extend_from_slice(LAST);
        let direct = self.direct.answers(&input).expect("memcached answers");
        (direct, self.through_parser(&input))
    }

    fn through_parser(&self, input: &[u8]) -> Vec<u8> {
        let mut stream = self.behind.connect().expect("memcached listens");
        let mut parser = Parser::new();
        let mut rest = input;
        let mut answers = Vec::new();
        loop {
            match parser.step(rest, &self.limits) {
                Step::Incomplete { need } => {
                    assert!(need > rest.len(), "{need} is not more than there is");
                    assert!(need as u64 <= self.limits.max_input(), "{need} is too much");
                    // While memcached waits for the rest of a value it keeps back what it answered
                    // before, and drops it when the client goes.
                    return if rest.is_empty() && !parser.is_swallowing() {
                        answers
                    } else {
                        Vec::new()
                    };
                }
                Step::Answer { reply, consumed } => {
                    answers.extend_from_slice(reply);
                    rest = &rest[consumed..];
                }
                Step::Close { farewell, .. } => {
                    farewell.write_to(&mut answers);
                    return answers;
                }
                Step::Request { request, consumed } => {
                    if request.command == Command::Quit {
                        return answers;
                    }
                    let Some(answer) = execute(&mut stream, &self.behind, &request) else {
                        return answers;
                    };
                    answers.extend(answer);
                    rest = &rest[consumed..];
                }
            }
        }
    }

    /// Whether the two hold the same: values, flags, sizes, and times to live, which may differ by
    /// the tick of a clock. Afterwards they hold nothing.
    fn same_items(&self) -> bool {
        let mut lines = Vec::new();
        for key in KEYS {
            lines.extend_from_slice(b"mg ");
            lines.extend_from_slice(key);
            lines.extend_from_slice(b" k f s t v\r\nmd ");
            lines.extend_from_slice(key);
            lines.extend_from_slice(b"\r\n");
        }
        lines.extend_from_slice(b"me missing");
        let [direct, behind] = self
            .look
            .each_ref()
            .map(|mut stream| items(&ask(&mut stream, &lines).expect("memcached answers")));
        direct.len() == behind.len()
            && direct
                .iter()
                .zip(&behind)
                .all(|(a, b)| a.0 == b.0 && a.1.abs_diff(b.1) <= 1)
    }
}

/// Answers without their times to live, and these.
fn items(answers: &[u8]) -> Vec<(Vec<u8>, i64)> {
    let mut rest = answers;
    let mut items = Vec::new();
    while let Some((response, used)) = response::parse(rest).expect("answers") {
        let Response::Meta(meta) = response else {
            panic!("no answer of a meta command: {response:?}");
        };
        let mut item = meta.value.unwrap_or_default().to_vec();
        for (flag, argument) in meta.flags.iter().filter(|(flag, _)| *flag != b't') {
            item.push(flag);
            item.extend_from_slice(argument);
        }
        items.push((item, meta.flags.ttl().unwrap_or(-2)));
        rest = &rest[used..];
    }
    items
}

/// The canonical form of a command, executed. `None`: memcached closed the connection.
fn execute(
    stream: &mut (impl Read + Write),
    server: &Memcached,
    request: &Request,
) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    match request.command {
        Command::Get { cas, keys } => {
            line.extend_from_slice(if cas { b"gets" } else { b"get" });
            add_keys(&mut line, keys);
        }
        Command::GetAndTouch { cas, exptime, keys } => {
            line.extend_from_slice(if cas { b"gats " } else { b"gat " });
            line.extend_from_slice(exptime.to_string().as_bytes());
            add_keys(&mut line, keys);
        }
        Command::Store {
            mode,
            key,
            flags,
            exptime,
            value,
            compare,
        } => {
            line.extend_from_slice(match (mode, compare) {
                (_, Some(_)) => b"cas ",
                (StoreMode::Set, _) => b"set ",
                (StoreMode::Add, _) => b"add ",
                (StoreMode::Replace, _) => b"replace ",
                (StoreMode::Append, _) => b"append ",
                (StoreMode::Prepend, _) => b"prepend ",
            });
            line.extend_from_slice(key);
            line.extend_from_slice(format!(" {flags} {exptime} {}", value.len()).as_bytes());
            if let Some(compare) = compare {
                line.extend_from_slice(format!(" {compare}").as_bytes());
            }
            line.extend_from_slice(b"\r\n");
            line.extend_from_slice(value);
        }
        Command::TooLarge { key } => {
            line.extend_from_slice(b"delete ");
            line.extend_from_slice(key);
            line.extend_from_slice(b" 0");
            ask(stream, &line);
            return Some(silenced(reply::TOO_LARGE.to_vec(), request));
        }
        Command::Arithmetic {
            direction,
            key,
            delta,
        } => {
            line.extend_from_slice(match direction {
                Direction::Increment => b"incr ",
                Direction::Decrement => b"decr ",
            });
            line.extend_from_slice(key);
            line.extend_from_slice(format!(" {delta}").as_bytes());
        }
        Command::Delete { key } => {
            line.extend_from_slice(b"delete ");
            line.extend_from_slice(key);
            // For a key called "noreply".
            line.extend_from_slice(b" 0");
        }
        Command::Touch { key, exptime } => {
            line.extend_from_slice(b"touch ");
            line.extend_from_slice(key);
            line.extend_from_slice(format!(" {exptime}").as_bytes());
        }
        Command::FlushAll { delay } => {
            line.extend_from_slice(format!("flush_all {delay}").as_bytes());
        }
        Command::Version => line.extend_from_slice(b"version"),
        Command::Forward { line } => return ask(stream, line),
        Command::Stream { line, .. } => {
            let mut line = line.to_vec();
            line.extend_from_slice(b"\r\n");
            return Some(server.answers(&line).expect("memcached answers"));
        }
        Command::ReplicationStats => return Some(b"ours\r\n".to_vec()),
        Command::Quit => unreachable!("ends the connection"),
    }
    Some(silenced(ask(stream, &line)?, request))
}

fn silenced(answer: Vec<u8>, request: &Request) -> Vec<u8> {
    if request.noreply { Vec::new() } else { answer }
}

fn add_keys(line: &mut Vec<u8>, keys: Keys<'_>) {
    for key in keys {
        line.push(b' ');
        line.extend_from_slice(key);
    }
}

/// Sends lines and reads up to the answer of a command behind it. `None`: closed.
fn ask(stream: &mut (impl Read + Write), line: &[u8]) -> Option<Vec<u8>> {
    const MARK: &[u8] = b"MN\r\n";
    let bytes = [line, b"\r\nmn\r\n"].concat();
    stream.write_all(&bytes).expect("memcached reads");
    let mut answer = Vec::new();
    let mut buffer = [0; 65536];
    while !answer.ends_with(MARK) {
        let read = stream.read(&mut buffer).expect("memcached answers");
        if read == 0 {
            return None;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    answer.truncate(answer.len() - MARK.len());
    Some(answer)
}

/// Keys that the tables and the generator use.
const KEYS: [&[u8]; 5] = [b"k", b"a", b"noreply", b"0", b"k\x01"];

fn check(pair: &Pair, input: &[u8]) -> Result<(), String> {
    let (direct, parser) = pair.both(input);
    let same_items = pair.same_items();
    let shown = input[..input.len().min(400)].escape_ascii();
    if direct != parser {
        return Err(format!(
            "{:?} {shown}\n  memcached: {}\n  parser:    {}",
            pair.limits.dialect,
            direct.escape_ascii(),
            parser.escape_ascii()
        ));
    }
    if !same_items {
        return Err(format!(
            "{:?} {shown}\n  leaves other items",
            pair.limits.dialect
        ));
    }
    Ok(())
}

/// Runs inputs one by one, each on an empty cache, and reports all that differ.
fn check_all<T: AsRef<[u8]>>(pair: &Pair, inputs: impl IntoIterator<Item = T>) {
    let mut failures = Vec::new();
    let mut count = 0;
    for input in inputs {
        failures.extend(check(pair, input.as_ref()).err());
        count += 1;
    }
    println!("{count} inputs, {:?}", pair.limits.dialect);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

const MIB: u64 = 1024 * 1024;
const RELEASES: [&str; 2] = ["MEMCACHED_1_6_38", "MEMCACHED_1_6_45"];

fn each_release(arguments: &[&str], item_size_max: u64, run: impl Fn(&Pair)) {
    for variable in RELEASES {
        if let Some(executable) = find(variable) {
            run(&Pair::start(&executable, arguments, item_size_max));
        }
    }
}

/// Every verb with every number of words, in every spelling.
#[test]
fn verbs_and_word_counts() {
    let verbs = [
        "get",
        "gets",
        "gat",
        "gats",
        "set",
        "add",
        "replace",
        "append",
        "prepend",
        "cas",
        "incr",
        "decr",
        "delete",
        "touch",
        "flush_all",
        "version",
        "quit",
        "verbosity",
        "slabs",
        "lru",
        "lru_crawler",
        "cache_memlimit",
        "shutdown",
        "misbehave",
        "debugtime",
        "debugitem",
        "extstore",
        "refresh_certs",
        "bget",
        "foo",
        "x",
        "GET",
        "SET",
        "Set",
        "gett",
        "ge",
        "sett",
        "mx",
        "HTTP/1.1",
        "stats foo",
        "stats detail",
        "stats reset",
        "stats cachedump",
        "slabs reassign",
        "slabs automove",
        "lru tune",
        "lru mode",
        "lru temp_ttl",
        "lru_crawler crawl",
        "lru_crawler tocrawl",
        "lru_crawler sleep",
        "lru_crawler metadump",
        "lru_crawler mgdump",
        "lru_crawler meta",
    ];
    let arguments = [
        "",
        " k",
        " k 0",
        " k 5",
        " 5",
        " 5 k",
        " 0 k",
        " -1 k",
        " 1 k a",
        " k 1",
        " k -1",
        " k 1 2",
        " k 1 noreply",
        " k 0 noreply",
        " k 5 noreply",
        " k noreply",
        " noreply",
        " noreply noreply",
        " noreply 0",
        " 0",
        " 0 0",
        " 0 noreply",
        " 1 2 3",
        " 1 2 3 4",
        " abc",
        " abc noreply",
        " k abc",
        " k abc noreply",
        " k 0 0",
        " k 0 0 1",
        " k 0 0 1 noreply",
        " k 0 0 1 1",
        " k 0 0 1 1 noreply",
        " k 0 0 1 x",
        " k 0 0 1 noreply extra",
        " k 0 0 1 1 x",
        " k 0 0 1 1 x noreply",
        " k 0 0 1 1 2 3 4 5 6 7 8 9",
        " k 0 0 x noreply",
        " k 0 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 noreply",
        " k 0 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 noreply",
        " k 0 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 noreply",
        " k 0 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 noreply",
        " / HTTP/1.1",
        " / HTTP/",
        " HTTP/x y",
    ];
    each_release(&[], MIB, |pair| {
        let inputs = verbs.iter().flat_map(|verb| {
            arguments.iter().flat_map(move |arguments| {
                // Behind the line, what a value would be if it is one.
                [
                    format!("{verb}{arguments}\r\n1\r\n"),
                    format!(" {verb}{arguments}\n1\r\n"),
                ]
            })
        });
        check_all(pair, inputs.filter(|input| !streams(input)));
    });
}

/// Dumps list items with the time of their last use, and come when it pleases them.
fn streams(input: &str) -> bool {
    let words: Vec<_> = input
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    words.len() == 3
        && words[0] == "lru_crawler"
        && words[1].starts_with('m')
        && ["0", "1", "2", "all", "hash"].contains(&words[2])
}

/// Commands that find something.
#[test]
fn commands_on_an_item() {
    let lines = [
        "get k",
        "gets k missing k",
        "get  k   a ",
        "gat 0 k",
        "gat 100 k a k",
        "gat -1 k",
        "gat 100 k\r\nget k",
        "gat 2592001 k",
        "gat 4294967297 k",
        "gat - k",
        "gat +1 k",
        "gat 1x k",
        "gat \t1 k",
        "gat 99999999999 k",
        "gat 99999999999999999999 k",
        "incr k 1",
        "incr k -1",
        "incr k abc",
        "incr k 18446744073709551615",
        "incr k 18446744073709551616",
        "incr k +1",
        "incr k -18446744073709551615",
        "incr k 00000000000000000000001",
        "incr k 0000000000000000000001",
        "incr k 1 noreply",
        "incr k abc noreply",
        "decr k 1",
        "decr k 11",
        "decr k 1 2",
        "incr k 1 2 3",
        "incr k",
        "delete k",
        "delete k 0",
        "delete k 5",
        "delete k noreply",
        "delete k 0 noreply",
        "delete k 5 noreply",
        "delete k 0 0",
        "delete noreply",
        "touch k 0",
        "touch k -1",
        "touch k 100",
        "touch k 2592001",
        "touch k 4294967296",
        "touch k 2147483647",
        "touch k 2147483648",
        "touch k -2147483648",
        "touch k -2147483649",
        "touch k -",
        "touch k 1 noreply",
        "touch k x noreply",
        "touch k noreply",
        "touch k 00000000100",
        "touch k 000000000100",
        "append k 0 0 1\r\n2",
        "prepend k 9 9 1\r\n2",
        "add k 0 0 1\r\n2",
        "replace k 7 0 1\r\n2",
        "cas k 0 0 1 0\r\n2",
        "cas k 0 0 1 999999\r\n2",
        "cas missing 0 0 1 1\r\n2",
        "flush_all 100",
        "flush_all -1",
        "flush_all 0",
        "flush_all",
        "flush_all noreply",
        "flush_all 1 2 3",
        "flush_all x",
        "flush_all x noreply",
        "flush_all 4294967396",
        "\0get k",
        "get k\0x",
        "get \0",
        "get k\r\r",
        "get k\rk",
        "delete k\r\r",
        "get k\t",
        "\tget k",
        "get\tk",
        "set k\x01 0 0 1\r\nx\r\nget k\x01",
        "stats  reset",
        "stats reset x",
        "stats detail x",
        "stats detail",
        "stats foo bar",
        "stats sizes",
        "verbosity 0",
        "verbosity 0 noreply",
        "verbosity x",
        "verbosity x noreply",
        "verbosity 0 0 0",
        "version x",
        "version noreply",
        "quit noreply",
        "shutdown graceful",
    ];
    each_release(&[], MIB, |pair| {
        check_all(
            pair,
            lines
                .iter()
                .map(|line| format!("set k 5 0 2\r\n10\r\n{line}\r\n")),
        );
    });
}

/// `-F`: flush_all is not allowed.
#[test]
fn flush_switched_off() {
    let lines = [
        "flush_all",
        "flush_all 0",
        "flush_all noreply",
        "flush_all x",
        "flush_all 1 2 3",
    ];
    each_release(&["-F"], MIB, |pair| {
        check_all(
            pair,
            lines
                .iter()
                .map(|line| format!("set k 0 0 1\r\nx\r\n{line}\r\nget k\r\n")),
        );
    });
}

/// Numbers at and beyond their ends, in each place of a storage command.
#[test]
fn numbers_of_storage_commands() {
    let numbers = [
        "0",
        "1",
        "3",
        "-0",
        "-1",
        "-",
        "+",
        "+1",
        "x",
        "1x",
        "1\t",
        "\t1",
        "\t",
        "\x0b",
        "1\0",
        "\0",
        "1.0",
        "0x1",
        "00000000001",
        "000000000001",
        "4294967295",
        "4294967296",
        "4294967297",
        "4294967299",
        "2147483644",
        "2147483645",
        "2147483646",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "-18446744073709551615",
        "-18446744073709551616",
        "00000000000000000000000000000000001",
        "2592000",
        "2592001",
    ];
    // Huge values are swallowed; the last command must not be.
    let huge = |number: &str| number.len() > 6 && !number.starts_with('0');
    each_release(&[], MIB, |pair| {
        let mut inputs = Vec::new();
        for number in numbers {
            for noreply in ["", " noreply"] {
                inputs.push(format!("set k {number} 0 1{noreply}\r\n1\r\n"));
                inputs.push(format!("set k 0 {number} 1{noreply}\r\n1\r\n"));
                inputs.push(format!("set k {number} {number} 0 1{noreply}\r\n1\r\n"));
                inputs.push(format!("set k {number} {number} 1{noreply}\r\n1\r\n"));
                inputs.push(format!("set k 0 {number} 0 1{noreply}\r\n1\r\n"));
                inputs.push(format!("cas k 0 0 1 {number}{noreply}\r\n1\r\n"));
                inputs.push(format!("cas k 0 0 1{noreply} {number}\r\n1\r\n"));
                if !huge(number) {
                    inputs.push(format!("set k 0 0 {number}{noreply}\r\n1\r\n"));
                    inputs.push(format!("set k 0 0 {number}{noreply}\r\n123\r\n\r\n"));
                    inputs.push(format!("cas k 0 0 {number} 1{noreply}\r\n1\r\n"));
                }
            }
        }
        check_all(pair, inputs);
    });
}

/// Lengths too large for any item: the line is answered at once, the value never comes.
#[test]
fn huge_lengths() {
    let lengths = [
        "2147483643",
        "2147483644",
        "2147483645",
        "2147483646",
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "4294967297",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999",
        "1048577",
    ];
    each_release(&[], MIB, |pair| {
        let mut inputs = Vec::new();
        for verb in ["set", "add", "append", "cas"] {
            for length in lengths {
                for rest in ["", " noreply", " 1", " 1 noreply", " x"] {
                    inputs.push(format!(
                        "set k 0 0 1\r\nx\r\n{verb} k 0 0 {length}{rest}\r\nx\r\n"
                    ));
                }
            }
        }
        check_all(pair, inputs);
    });
}

/// Keys of 250 and 251 bytes, with and without what else can be wrong.
#[test]
fn key_lengths() {
    each_release(&[], MIB, |pair| {
        let mut inputs = Vec::new();
        for length in [250, 251, 300] {
            let key = "k".repeat(length);
            for line in [
                "get K",
                "get K a",
                "gets K",
                "gat 0 K",
                "gat x K",
                "gats 0 a K",
                "incr K 1",
                "incr K x",
                "decr K 1 noreply",
                "touch K 1",
                "touch K x",
                "touch K 1 noreply",
                "delete K",
                "delete K 0",
                "delete K 5",
                "delete K noreply",
                "delete K 0 noreply",
                "get a K noreply",
                "get K noreply",
                "get K a noreply",
                "gat 0 K noreply",
                "set K 0 0 1\r\nx",
                "set K 0 0 1 noreply\r\nx",
                "set K x 0 1\r\nx",
                "set K 0 0 x\r\nx",
                "cas K 0 0 1 1\r\nx",
                "cas K 0 0 1\r\nx",
                "append K 0 0 1\r\nx",
                "set K 0 0 1\r\nxy",
                "set K 0 0 9999999",
            ] {
                inputs.push(format!("{}\r\n", line.replace('K', &key)));
            }
        }
        let many = format!("get{}\r\n", " a".repeat(30_000));
        inputs.push(many);
        inputs.push(format!("get{} {}\r\n", " a".repeat(50), "k".repeat(251)));
        inputs.push(format!("gets{}\r\n", " missing".repeat(100_000)));
        check_all(pair, inputs);
    });
}

/// Lines near the lengths at which memcached gives up.
#[test]
fn long_lines() {
    each_release(&[], MIB, |pair| {
        let mut inputs: Vec<Vec<u8>> = Vec::new();
        for length in [2040, 2047, 2048, 2049, 3000, 16_000] {
            for verb in ["x", "delete ", "get ", "gat 1 ", "set ", "touch k "] {
                let line = format!("{verb}{}", "k".repeat(length - verb.len()));
                inputs.push(format!("{line}\r\n").into_bytes());
            }
        }
        // The read buffer is full before the line ends.
        for length in [16_382, 16_383, 16_384, 16_385, 17_000, 40_000] {
            inputs.push(format!("delete {}\n", "k".repeat(length - 7)).into_bytes());
            inputs.push(format!("get {}\n", "k".repeat(length - 4)).into_bytes());
        }
        check_all(pair, inputs);
    });
}

/// Bytes that never become a line: closed at the same length.
#[test]
fn unfinished_lines() {
    each_release(&[], MIB, |pair| {
        for (text, closed) in [
            ("x".repeat(2048), false),
            ("x".repeat(2049), true),
            (format!("get {}", "k".repeat(2045)), false),
            (format!("gets {}", "k".repeat(30_000)), false),
            (format!("gat 0 {}", "k".repeat(2043)), true),
            (
                format!("{}get {}", " ".repeat(100), "k".repeat(2000)),
                false,
            ),
            (format!("{}get {}", " ".repeat(101), "k".repeat(2000)), true),
            (format!("set k 0 0 1 {}", "k".repeat(2040)), true),
        ] {
            let mut stream = pair.direct.connect().expect("memcached listens");
            stream.write_all(text.as_bytes()).expect("memcached reads");
            stream
                .set_read_timeout(Some(std::time::Duration::from_millis(if closed {
                    5000
                } else {
                    50
                })))
                .expect("a timeout");
            let really_closed = match stream.read(&mut [0; 16]) {
                Ok(0) => true,
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
                Ok(_) => panic!("an answer to an unfinished line"),
            };
            let step = Parser::new().step(text.as_bytes(), &pair.limits);
            let parser_closed = matches!(step, Step::Close { .. });
            assert_eq!(really_closed, closed, "memcached: {} bytes", text.len());
            assert_eq!(parser_closed, closed, "parser: {} bytes", text.len());
        }
    });
}

/// Values that do not end where they should, and what is left of them.
#[test]
fn bad_data_chunks() {
    let values = [
        "",
        "\r\n",
        "abc\r\n",
        "abcd\r\n",
        "ab\r\n",
        "abc\n",
        "abc\r",
        "abcdefgh\r\n",
        "abc\rx\r\n",
        "abc\n\n",
        "abc\r\nget k\r\n",
        "abcdget k\r\n",
        "abcdxget k\r\n",
        "\0\0\0\r\n",
        "\r\n\r\r\n",
    ];
    each_release(&[], MIB, |pair| {
        let mut inputs = Vec::new();
        for verb in ["set", "add", "append", "cas"] {
            for noreply in ["", " noreply"] {
                for value in values {
                    let token = if verb == "cas" { " 1" } else { "" };
                    inputs.push(format!(
                        "set k 0 0 3\r\nold\r\n{verb} k 0 0 3{token}{noreply}\r\n{value}get k\r\n"
                    ));
                }
            }
        }
        check_all(pair, inputs);
    });
}

/// The exact bound of an item, below it, at it and above it.
#[test]
fn item_size_bound() {
    for (arguments, item_size_max) in [
        (vec![], MIB),
        (vec!["-I", "8k", "-o", "slab_chunk_max=4"], 8192),
    ] {
        each_release(&arguments, item_size_max, |pair| {
            let mut inputs = Vec::new();
            for (verb, token) in [("set", ""), ("add", ""), ("replace", ""), ("cas", " 1")] {
                for flags in ["0", "1", "4294967296"] {
                    let key_end_and_value_end = 3;
                    let flag_bytes = if flags == "1" { 4 } else { 0 };
                    let largest = item_size_max - 48 - 8 - 1 - key_end_and_value_end - flag_bytes;
                    for length in [largest - 1, largest, largest + 1, largest + 2] {
                        let value = "v".repeat(length as usize);
                        for noreply in ["", " noreply"] {
                            inputs.push(format!(
                                "set k 0 0 1\r\n1\r\n{verb} k {flags} 0 {length}{token}{noreply}\r\n\
                                 {value}\r\n"
                            ));
                        }
                    }
                }
            }
            check_all(pair, inputs);
        });
    }
}

/// Words and bytes thrown together.
#[test]
fn random_lines() {
    let cases =
        std::env::var("PROPTEST_CASES").map_or(500, |cases| cases.parse().expect("a number"));
    each_release(&[], MIB, |pair| {
        let mut runner = TestRunner::new(Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&protocol_inputs::lines(), |input| {
                check(pair, &input).map_err(TestCaseError::fail)
            })
            .unwrap_or_else(|error| panic!("{error}"));
        println!("{cases} random inputs, {:?}", pair.limits.dialect);
    });
}
