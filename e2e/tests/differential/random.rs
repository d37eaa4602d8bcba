//! Random pipelines: valid, odd and broken commands over a small set of keys, cut into random segments.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use e2e::memcached::Suite;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestError, TestRunner};

use crate::endpoints::Endpoints;
use crate::script::{Case, Cut};

/// One write of a client. `@` stands for what makes the keys of a history its own.
#[derive(Clone)]
struct Batch {
    /// None: a connection of its own
    connection: Option<usize>,
    bytes: Vec<u8>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: \"{}\"", self.connection, self.bytes.escape_ascii())
    }
}

/// Mostly `usual`, sometimes one of `odd`.
fn word(usual: &'static [&'static str], odd: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => select(usual), 1 => select(odd)]
}

fn key() -> impl Strategy<Value = &'static str> {
    word(&["@a", "@b", "@c", "@d"], &["@\u{1}", "@", "@a@a", "@a ", " @b", "@c\u{7f}"])
}

fn flags() -> impl Strategy<Value = &'static str> {
    word(&["0", "0", "5", "4294967295"], &["x", "-1", "4294967296", "", "007"])
}

/// Only such as are over at once or last longer than the test.
fn exptime() -> impl Strategy<Value = &'static str> {
    word(&["0", "0", "1000", "2592000", "-1"], &["x", "2592001", "-2", "99999999999", "1x", "4102444800"])
}

fn noreply() -> impl Strategy<Value = &'static str> {
    word(&["", "", "", " noreply"], &[" noreply x", " x", " ", " NOREPLY"])
}

fn line_end() -> impl Strategy<Value = &'static str> {
    word(&["\r\n"], &["\n", "\r\n\r\n", " \r\n"])
}

/// Never empty or white space only: memcached reads on behind such a value when it is asked to increment it. Long ones
/// have `lines` lines, because a long line without an end closes the connection or not depending on how it arrives.
fn value(lines: usize) -> impl Strategy<Value = String> {
    let line = format!("{}\r\n", "v".repeat(60));
    prop_oneof![
        4 => "[0-9]{1,20}",
        3 => "[a-z][a-z ]{0,30}",
        1 => Just("18446744073709551615".to_owned()),
        1 => Just("END\r\nVALUE @a 0 1\r\nget @a\r\n".to_owned()),
        1 => (0..=lines, "v{1,30}").prop_map(move |(lines, rest)| line.repeat(lines) + &rest),
    ]
}

fn storage(lines: usize) -> impl Strategy<Value = String> {
    let verb = select(&["set", "set", "add", "replace", "append", "prepend"][..]);
    let wrong_length = prop_oneof![20 => Just(0_i64), 1 => -3_i64..4];
    (verb, key(), flags(), exptime(), value(lines), wrong_length, noreply(), line_end()).prop_map(
        |(verb, key, flags, exptime, value, wrong, noreply, end)| {
            let length = value.len() as i64 + wrong;
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

fn command(lines: usize) -> impl Strategy<Value = String> {
    let keys = || proptest::collection::vec(key(), 1..6).prop_map(|keys| keys.join(" "));
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
            "delete\r\n",
            "stats foo\r\n",
            "shutdown\r\n",
            "\u{0}\r\n",
            "quit\r\n",
            "flush_all\r\n",
            "flush_all 0 noreply\r\n",
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

type History = (Vec<Batch>, u64);

fn history(lines: usize) -> impl Strategy<Value = History> {
    let batch = (proptest::option::of(0_usize..3), proptest::collection::vec(command(lines), 1..12));
    let batches =
        proptest::collection::vec(batch, 1..6).prop_map(|batches| batches.into_iter().flat_map(split).collect());
    (batches, any::<u64>())
}

/// A read whose answer has not been sent holds the item, and then memcached does not pad a shorter number with spaces
/// but stores a shorter value. Whether it has been sent is a matter of timing, so arithmetic behind a read waits for it.
/// Behind what the sidecar reads back as well (other arithmetic, touch, append, prepend), see `known.rs`.
fn split((connection, commands): (Option<usize>, Vec<String>)) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut read = true;
    for command in commands {
        let arithmetic = command.starts_with("incr") || command.starts_with("decr");
        match batches.last_mut().filter(|_| !(read && arithmetic)) {
            Some(batch) => batch.bytes.extend_from_slice(command.as_bytes()),
            None => {
                let bytes = command.clone().into_bytes();
                batches.push(Batch { connection, bytes });
                read = false;
            }
        }
        let read_back = ["touch", "append", "prepend"].iter().any(|verb| command.starts_with(verb));
        read |= command.starts_with('g') || arithmetic || read_back;
    }
    batches
}

/// Valid bytes with some of them changed, removed or doubled.
fn broken_history() -> impl Strategy<Value = History> {
    let index = any::<proptest::sample::Index>();
    let damage = proptest::collection::vec((index, 0_u8..3, any::<u8>()), 1..4);
    (history(0), damage).prop_map(|((mut batches, seed), damage)| {
        for bytes in batches.iter_mut().map(|batch| &mut batch.bytes) {
            // Without cas numbers, which damage might turn into lengths; those are not the same on both sides.
            *bytes = bytes.iter().map(|&byte| if byte == b'<' { b'9' } else { byte }).collect();
            for (index, kind, byte) in &damage {
                let at = index.index(bytes.len().max(1));
                let removed = if *kind == 2 { at } else { at + 1 };
                let inserted = if *kind == 1 { None } else { Some(*byte) };
                let range = at.min(bytes.len())..removed.min(bytes.len());
                bytes.splice(range, inserted).for_each(drop);
            }
        }
        (batches, seed)
    })
}

/// Meta commands come with a later issue, and a binary first byte is another protocol.
fn comparable(bytes: &[u8]) -> bool {
    let meta = |line: &[u8]| match line.trim_ascii_start() {
        [b'm', b'g' | b's' | b'd' | b'a' | b'n' | b'e'] => true,
        [b'm', b'g' | b's' | b'd' | b'a' | b'n' | b'e', next, ..] => !next.is_ascii_alphanumeric(),
        _ => false,
    };
    bytes.first() != Some(&0x80) && !bytes.split(|&byte| byte == b'\n').any(meta)
}

/// The case of a history. Its keys are its own, so that histories do not depend on each other.
fn case(batches: &[Batch], number: u32, padding: usize) -> Case {
    let prefix = format!("h{number}:");
    let fill_in = |bytes: &[u8]| {
        let parts: Vec<&[u8]> = bytes.split(|&byte| byte == b'@').collect();
        parts.join(prefix.as_bytes())
    };
    let mut case = Case::new("random", "shrunk");
    case.patience = Duration::from_secs(3);
    for (number, batch) in batches.iter().enumerate() {
        // Line ends complete a value that was announced too long.
        let bytes = [fill_in(&batch.bytes), b"\r\n".repeat(padding)].concat();
        case = case.ask_on(batch.connection.unwrap_or(100 + number), bytes);
    }
    case.ask_on(9, fill_in(b"gets @a @b @c @d\r\n"))
}

/// What makes memcached's answers repeatable: a number that gets shorter is padded with spaces if nobody else holds the
/// item. With one thread, memcached has let go of what it answered with when the next request arrives, and without the
/// maintainer no thread in the background looks at items.
const REPEATABLE: [&str; 4] = ["-t", "1", "-o", "no_lru_maintainer"];

/// Runs random histories on both sides.
fn run(
    test: &str,
    suite: Suite,
    arguments: &[&str],
    padding: usize,
    histories: impl Strategy<Value = History>,
) -> Result<()> {
    let endpoints = Endpoints::start(test, suite, &[&REPEATABLE, arguments].concat())?;
    let number = Cell::new(0_u32);
    let wanted = std::env::var("PROPTEST_CASES").ok();
    let cases = wanted.and_then(|cases| cases.parse().ok()).unwrap_or(300);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&histories, |(batches, seed)| {
        prop_assume!(batches.iter().all(|batch| comparable(&batch.bytes)));
        number.set(number.get() + 1);
        let (case, cut) = (case(&batches, number.get(), padding), Cut::Random(seed));
        // Memcached itself waits for more if the damage has made a very long value.
        let expected = endpoints.reference(&case, cut);
        let expected = expected.map_err(|error| TestCaseError::reject(format!("{error:#}")))?;
        let compared = endpoints.compare_with(&expected, &case, cut);
        compared.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, (batches, seed))) => {
            anyhow::bail!("seed {seed}: {batches:#?}\n{reason}")
        }
        Err(error) => Err(error.into()),
    }
}

#[test]
fn random_pipelines_on_1_6_38() -> Result<()> {
    run("random", Suite::Trixie, &[], 3, history(150))
}

#[test]
fn random_pipelines_on_1_6_45() -> Result<()> {
    run("random", Suite::Forky, &[], 3, history(150))
}

/// Values around the limit, so that what is too large is told exactly.
#[test]
fn random_pipelines_with_small_items() -> Result<()> {
    let small = ["-I", "4096", "-o", "slab_chunk_max=2"];
    let run = |&suite| run("small-items", suite, &small, 3, history(150));
    Suite::TESTED.iter().try_for_each(run)
}

/// A damaged length may be ten times the right one, which the padding completes.
#[test]
fn broken_pipelines() -> Result<()> {
    let run = |&suite| run("broken", suite, &[], 600, broken_history());
    Suite::TESTED.iter().try_for_each(run)
}
