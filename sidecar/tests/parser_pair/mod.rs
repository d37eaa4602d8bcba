//! Two memcached of one release: one gets the bytes as they are, one what the parser made of them.

#![allow(clippy::disallowed_methods, reason = "a test may ask its environment and wait")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use sidecar::protocol::{
    Command, Dialect, Direction, Keys, Limits, MetaRequest, MetaVerb, Parser, Request, Response, Step, StoreMode,
    encode, reply, response,
};

use crate::real_memcached::{Memcached, find};

/// Stands behind every input: it is answered if the connection is open and in step.
const LAST: &[u8] = b"version\r\n";

pub(crate) struct Pair {
    pub(crate) direct: Memcached,
    behind: Memcached,
    /// To look at the items of the two.
    look: [UnixStream; 2],
    pub(crate) limits: Limits,
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
                    return if rest.is_empty() && !parser.is_swallowing() { answers } else { Vec::new() };
                }
                Step::Binary { .. } => panic!("the inputs are text"),
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
        // A flush that is still to come must not hit what comes next.
        lines.extend_from_slice(b"flush_all");
        let [direct, behind] =
            self.look.each_ref().map(|mut stream| items(&ask(&mut stream, &lines).expect("memcached answers")));
        direct.len() == behind.len() && direct.iter().zip(&behind).all(|(a, b)| a.0 == b.0 && a.1.abs_diff(b.1) <= 1)
    }
}

/// Answers without their times to live, and these.
fn items(answers: &[u8]) -> Vec<(Vec<u8>, i64)> {
    let mut rest = answers;
    let mut items = Vec::new();
    while let Some((response, used)) = response::parse(rest).expect("answers") {
        rest = &rest[used..];
        let Response::Meta(meta) = response else {
            continue;
        };
        let mut item = meta.value.unwrap_or_default().to_vec();
        for (flag, argument) in meta.flags.iter().filter(|(flag, _)| *flag != b't') {
            item.push(flag);
            item.extend_from_slice(argument);
        }
        items.push((item, meta.flags.ttl().unwrap_or(-2)));
    }
    items
}

/// The canonical form of a command, executed. `None`: memcached closed the connection.
fn execute(stream: &mut (impl Read + Write), server: &Memcached, request: &Request) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    match request.command {
        Command::Get { cas, keys } => {
            line.extend_from_slice(if cas { b"gets" } else { b"get" });
            add_keys(&mut line, keys);
        }
        Command::RefusedGet { exptime, keys, .. } => {
            line.extend_from_slice(exptime.map_or("get".to_owned(), |exptime| format!("gat {exptime}")).as_bytes());
            add_keys(&mut line, keys);
            line.extend_from_slice(b" ");
            line.extend_from_slice(&[b'k'; 251]);
        }
        Command::GetAndTouch { cas, exptime, keys } => {
            line.extend_from_slice(if cas { b"gats " } else { b"gat " });
            line.extend_from_slice(exptime.to_string().as_bytes());
            add_keys(&mut line, keys);
        }
        Command::Store { mode, key, flags, exptime, value, compare } => {
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
        Command::Arithmetic { direction, key, delta } => {
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
        Command::Meta(meta) => return meta_answer(stream, &meta),
        Command::Forward { line } => return ask(stream, line),
        Command::Stream { line, .. } => {
            let mut line = line.to_vec();
            line.extend_from_slice(b"\r\n");
            return Some(server.answers(&line).expect("memcached answers"));
        }
        Command::ClusterConfig => return Some(b"ERROR\r\n".to_vec()),
        Command::ReplicationStats => return Some(b"ours\r\n".to_vec()),
        Command::Quit => unreachable!("ends the connection"),
    }
    let answer = ask(stream, &line)?;
    // What does not fit must not come this far.
    assert_ne!(answer, reply::TOO_LARGE);
    Some(silenced(answer, request))
}

/// The line that goes to memcached, with `q` where the client has it, since nobody else uses this connection.
fn meta_answer(stream: &mut (impl Read + Write), meta: &MetaRequest<'_>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    meta.write_to(&mut line, None, false);
    if meta.verb == MetaVerb::TooLarge {
        let mut buffer = [0; 250];
        line.clear();
        encode::delete(&mut line, meta.key(&mut buffer), None);
        line.truncate(line.len() - 2);
        ask(stream, &line);
        return Some(reply::TOO_LARGE.to_vec());
    }
    if meta.has(b'q') {
        let end = line.iter().position(|byte| *byte == b'\n').expect("a line") - 1;
        line.splice(end..end, *b" q");
    }
    line.truncate(line.len() - 2);
    let answer = ask(stream, &line)?;
    assert_ne!(answer, reply::TOO_LARGE);
    let executed = !answer.windows(5).any(|word| word == b"ERROR");
    let refused = meta.verb == MetaVerb::Arithmetic && meta.opaque_too_long() && executed;
    Some(if refused { reply::OPAQUE_TOO_LONG.to_vec() } else { answer })
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
const KEYS: [&[u8]; 8] = [b"k", b"a", b"noreply", b"0", b"k\x01", b"ab", b"YQ==", b"Y"];

/// Whether the two agree. Twice more if not: their clocks may have ticked in between.
pub(crate) fn check(pair: &Pair, input: &[u8]) -> Result<(), String> {
    for attempt in 0..3 {
        if check_once(pair, input).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(300 * attempt));
    }
    check_once(pair, input)
}

/// Answers without their cas numbers: `E` of a client is none of ours, and from then on memcached counts on from another.
fn without_cas(answers: &[u8]) -> Vec<u8> {
    let digits = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let mut masked = Vec::new();
    for line in answers.split_inclusive(|byte| *byte == b'\n') {
        let words: Vec<&[u8]> = line.split(|byte| b" \r\n".contains(byte)).collect();
        for (index, word) in words.iter().enumerate() {
            let cas = match words.first() {
                Some(&b"VALUE") => index == 4 && digits(word),
                Some(&(b"VA" | b"HD" | b"EN" | b"NS" | b"EX" | b"NF")) => word.strip_prefix(b"c").is_some_and(digits),
                _ => false,
            };
            masked.extend_from_slice(if cas { b"cas" } else { word });
            masked.push(b' ');
        }
    }
    masked
}

fn check_once(pair: &Pair, input: &[u8]) -> Result<(), String> {
    let (direct, parser) = pair.both(input);
    let same_items = pair.same_items();
    let shown = input[..input.len().min(400)].escape_ascii();
    if direct != parser && without_cas(&direct) != without_cas(&parser) {
        return Err(format!(
            "{:?} {shown}\n  memcached: {}\n  parser:    {}",
            pair.limits.dialect,
            direct.escape_ascii(),
            parser.escape_ascii()
        ));
    }
    if !same_items {
        return Err(format!("{:?} {shown}\n  leaves other items", pair.limits.dialect));
    }
    Ok(())
}

/// Runs inputs one by one, each on an empty cache, and reports all that differ.
pub(crate) fn check_all<T: AsRef<[u8]>>(pair: &Pair, inputs: impl IntoIterator<Item = T>) {
    let mut failures = Vec::new();
    let mut count = 0;
    for input in inputs {
        failures.extend(check(pair, input.as_ref()).err());
        count += 1;
    }
    println!("{count} inputs, {:?}", pair.limits.dialect);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

pub(crate) const MIB: u64 = 1024 * 1024;
const RELEASES: [&str; 2] = ["MEMCACHED_1_6_38", "MEMCACHED_1_6_45"];

pub(crate) fn each_release(arguments: &[&str], item_size_max: u64, run: impl Fn(&Pair)) {
    for variable in RELEASES {
        if let Some(executable) = find(variable) {
            run(&Pair::start(&executable, arguments, item_size_max));
        }
    }
}
